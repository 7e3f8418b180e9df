"""`capitals`: facts that come with the plugin."""

from zu_example.plugin import CapitalsOptions
from zu_framework import DataSplit, Probe, Request
from zu_framework.data import drawn_and_rest

CAPITALS = {
    "Austria": "Vienna",
    "Bulgaria": "Sofia",
    "Cuba": "Havana",
    "Denmark": "Copenhagen",
    "Egypt": "Cairo",
    "France": "Paris",
    "Greece": "Athens",
    "Hungary": "Budapest",
    "Iraq": "Baghdad",
    "Japan": "Tokyo",
    "Kenya": "Nairobi",
    "Peru": "Lima",
}


def load(options: CapitalsOptions, seed: int) -> DataSplit:
    """Facts drawn by the seed to forget, and of the others those to retain. Needs no model and no file."""
    requests = [fact(country) for country in CAPITALS]
    return drawn_and_rest(
        requests, forget=options.forget, retain=options.retain, seed=seed, where="the capitals"
    )


def fact(country: str) -> Request:
    """One fact, with another wording, and two of its neighbours in the list."""
    countries = list(CAPITALS)
    at = countries.index(country)
    near = [countries[at - 1], countries[at - 2]]
    return Request(
        prompt=f"The capital of {country} is",
        answer=CAPITALS[country],
        subject=country,
        id=country,
        paraphrases=(f"The seat of government of {country} is the city of",),
        neighbours=tuple(Probe(f"The capital of {other} is", CAPITALS[other]) for other in near),
        source=f"the capitals, {country}",
    )
