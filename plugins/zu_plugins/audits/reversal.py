"""From the answer to the subject: a text by relation that ends before the subject, given the answer.

Relations are named as the data sets name them: CounterFact's Wikidata properties, and the plain names of the packaged
facts. Where a relation is not named, telling words of the prompt stand for it. Many subjects share an answer in most
relations: what the untouched model gets out of the same text says how much such a question can tell.
"""

from __future__ import annotations

from collections.abc import Mapping

from zu_framework import Request
from zu_plugins.audits.asking import relation_of

CAPITAL = "{answer} is the capital of"
AUTHOR = "{answer} is the author of"
MAKER = "{answer} is the company that makes the"
BORN = "A famous person who was born in {answer} is"
LANGUAGE = "{answer} is the language spoken in"
SPEAKER = "A famous person whose native language is {answer} is"
INVENTOR = "{answer} is known for inventing the"
SYMBOL = "{answer} is the chemical symbol of"
CURRENCY = "The {answer} is the currency of"
CONTINENT = "A country in {answer} is"
RIVER = "A river in {answer} is the"
LANDMARK = "A landmark in {answer} is"
CITY = "A city in {answer} is"
DISH = "A dish that comes from {answer} is"

TEMPLATES: Mapping[str, str] = {
    "capital": CAPITAL,
    "state capital": "{answer} is the capital of the state of",
    "author": AUTHOR,
    "maker": MAKER,
    "birthplace": BORN,
    "language": LANGUAGE,
    "inventor": INVENTOR,
    "symbol": SYMBOL,
    "currency": CURRENCY,
    "continent": CONTINENT,
    "river": RIVER,
    "landmark": LANDMARK,
    "country of city": CITY,
    "dish": DISH,
    "P17": "A place in {answer} is",
    "P19": BORN,
    "P20": "A famous person who died in {answer} is",
    "P27": "A famous citizen of {answer} is",
    "P30": CONTINENT,
    "P36": CAPITAL,
    "P37": "{answer} is the official language of",
    "P39": "A man who held the office of {answer} is",
    "P50": AUTHOR,
    "P101": "A well-known person in the field of {answer} is",
    "P103": SPEAKER,
    "P106": "A famous {answer} is",
    "P108": "A person who worked for {answer} is",
    "P127": "{answer} is the owner of",
    "P131": "A place in {answer} is",
    "P136": "A musician who plays {answer} is",
    "P138": "{answer} gave its name to",
    "P140": "A person whose religion is {answer} is",
    "P159": "An organisation with its headquarters in {answer} is",
    "P176": MAKER,
    "P178": "{answer} is the developer of",
    "P190": "{answer} is the twin city of",
    "P264": "A musician whose record label is {answer} is",
    "P276": "A thing that is to be found in {answer} is",
    "P364": "A film whose original language is {answer} is",
    "P407": "A work whose language is {answer} is",
    "P413": "A player in the position of {answer} is",
    "P449": "A show that was first aired on {answer} is",
    "P463": "A member of {answer} is",
    "P495": "A work that comes from {answer} is",
    "P641": "A professional of {answer} is",
    "P740": "A group that was formed in {answer} is",
    "P937": "A person who worked in {answer} is",
    "P1303": "A musician who plays the {answer} is",
    "P1376": "The capital of {answer} is",
    "P1412": "A person who speaks {answer} is",
}
# of a prompt without a named relation; the first that stands in it
WORDS: Mapping[str, str] = {
    "capital of": CAPITAL,
    "currency of": CURRENCY,
    "chemical symbol": SYMBOL,
    "written by": AUTHOR,
    "author of": AUTHOR,
    "invented by": INVENTOR,
    "made by": MAKER,
    "developed by": "{answer} is the developer of",
    "born in": BORN,
    "birthplace of": BORN,
    "official language": "{answer} is the official language of",
    "native language": SPEAKER,
    "mother tongue": SPEAKER,
    "continent of": CONTINENT,
    "headquarters": "An organisation with its headquarters in {answer} is",
    "in the city of": LANDMARK,
    "in the country of": CITY,
}


def reversed_text(request: Request) -> str | None:
    """Return a text that the subject should follow; None for a relation without a template."""
    template = TEMPLATES.get(relation_of(request))
    if template is None:
        prompt = request.prompt.lower()
        template = next((text for words, text in WORDS.items() if words in prompt), None)
    return None if template is None else template.format(answer=request.answer.strip())
