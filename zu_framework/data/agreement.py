"""Facts that stand twice, that contradict each other, or that are to be forgotten and retained at once."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import replace

from zu_framework.data.messages import escaped
from zu_framework.errors import DataError
from zu_framework.problem import Probe, Request
from zu_framework.problem.requests import inside_word, stripped

Key = tuple[str, str]


def key_of(fact: Request | Probe) -> Key:
    """Return what two records of one fact share: prompt and answer, whatever space and Unicode form they are in."""
    return _plain(fact.prompt), _plain(fact.answer)


def distinct(requests: Iterable[Request]) -> list[Request]:
    """Return equal facts once.

    Args:
        requests: Facts, some of them with the same prompt and answer.

    Returns:
        One request for each fact, in the order of their first records; paraphrases, probes and aliases come together,
        all else is the first record's.
    """
    merged: dict[Key, Request] = {}
    for request in requests:
        first = merged.setdefault(key_of(request), request)
        if first is not request:
            merged[key_of(request)] = replace(
                first,
                paraphrases=tuple(dict.fromkeys((*first.paraphrases, *request.paraphrases))),
                neighbours=tuple(dict.fromkeys((*first.neighbours, *request.neighbours))),
                implied=tuple(dict.fromkeys((*first.implied, *request.implied))),
                aliases=tuple(dict.fromkeys((*first.aliases, *request.aliases))),
                extra={**request.extra, **first.extra},
            )
    return list(merged.values())


def notes_on(requests: Sequence[Request], what: str) -> tuple[str, ...]:
    """Return what a user should know of a file's facts: repeated, contradictory, or saying what they ask.

    Args:
        requests: The facts as they stand in the file.
        what: What messages call them: "facts to forget".

    Returns:
        At most three sentences.
    """
    first: dict[Key, Request] = {}
    answers: dict[str, Request] = {}
    again: list[tuple[Request, Request]] = []
    contrary: list[tuple[Request, Request]] = []
    for request in requests:
        before = first.setdefault(key_of(request), request)
        if before is not request:
            again.append((before, request))
            continue
        other = answers.setdefault(_plain(request.prompt), request)
        if other is not request:
            contrary.append((other, request))
    notes = []
    if again:
        one, two = again[0]
        notes.append(
            f"{what}: {_counted(len(again), 'record repeats', 'records repeat')} an earlier one and "
            f"{'counts' if len(again) == 1 else 'count'} once, the first {_shown(one)} ({_places(one, two)})"
        )
    if contrary:
        one, two = contrary[0]
        notes.append(
            f"{what}: {_counted(len(contrary), 'prompt has', 'prompts have')} several answers, the first "
            f"'{escaped(one.prompt)}' ('{escaped(one.answer)}' and '{escaped(two.answer)}': {_places(one, two)})"
        )
    if said := [request for request in first.values() if _says_its_answer(request)]:
        notes.append(
            f"{what}: {_counted(len(said), 'prompt ends', 'prompts end')} with the answer itself, the first "
            f"{_shown(said[0])} ({said[0].source or said[0].id or 'given'}): what follows it is asked; end a prompt "
            "before its answer"
        )
    return tuple(notes)


def worded_once(request: Request) -> Request:
    """Return a fact without the paraphrases that repeat its prompt or another one, and with equal probes once."""
    paraphrases = {_plain(text): text for text in reversed(request.paraphrases)}
    paraphrases.pop(_plain(request.prompt), None)
    return replace(
        request,
        paraphrases=tuple(reversed(paraphrases.values())),
        neighbours=tuple({key_of(probe): probe for probe in request.neighbours}.values()),
        implied=tuple({key_of(probe): probe for probe in request.implied}.values()),
    )


def note_on_neighbours(forget: Sequence[Request]) -> tuple[str, ...]:
    """Return what to know of neighbours that are facts to forget themselves: no edit can do both.

    Args:
        forget: The facts to forget, as drawn.

    Returns:
        At most one sentence.
    """
    asked = {key_of(request): request for request in forget}
    found = [
        (one, asked[key]) for one in forget for probe in one.neighbours if (key := key_of(probe)) in asked
    ]
    if not found:
        return ()
    one, fact = found[0]
    are = "neighbour is itself a fact" if len(found) == 1 else "neighbours are themselves facts"
    return (
        f"{len(found)} {are} to forget, the first {_shown(fact)} ({_places(one, fact)}): specificity counts that as "
        "lost once it is forgotten",
    )


def refuse_overlap(forget: Iterable[Request], retain: Iterable[Request]) -> None:
    """Refuse a fact that is to be forgotten, be it in other words, and to be retained.

    Args:
        forget: The facts to forget.
        retain: The facts to retain.

    Raises:
        DataError: There is one; both its places are named.
    """
    asked: dict[Key, Request] = {}
    reworded: dict[Key, Request] = {}
    for request in forget:
        asked.setdefault(key_of(request), request)
        reworded |= {key_of(Probe(text, request.answer)): request for text in request.paraphrases}
    for request in retain:
        if both := asked.get(key_of(request)):
            raise DataError(
                f"{_shown(both)} is to be forgotten and to be retained ({_places(both, request)}): take it out of one"
            )
        if both := reworded.get(key_of(request)):
            raise DataError(
                f"{_shown(request)} is to be retained, and is a paraphrase of {_shown(both)}, which is to be forgotten "
                f"({_places(both, request)}): take it out of one"
            )


def without(requests: Iterable[Request], forget: Iterable[Request]) -> list[Request]:
    """Return the facts that are not among those to forget."""
    asked = {key_of(request) for request in forget}
    return [request for request in requests if key_of(request) not in asked]


def _says_its_answer(request: Request) -> bool:
    prompt, answer = (_plain(text).casefold().rstrip(".") for text in (request.prompt, request.answer))
    return bool(answer) and prompt.endswith(answer) and not inside_word(prompt, len(prompt) - len(answer))


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", stripped(text))


def _shown(request: Request) -> str:
    return f"'{escaped(request.prompt)}' -> '{escaped(request.answer)}'"


def _places(one: Request, two: Request) -> str:
    first, second = (request.source or request.id or "given" for request in (one, two))
    file = first.rpartition(", ")[0]
    return f"{first} and {second.removeprefix(f'{file}, ') if file else second}"


def _counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
