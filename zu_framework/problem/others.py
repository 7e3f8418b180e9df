"""Questions about other things: what an edit should leave alone, where nobody says which facts those are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count

from zu_framework.problem.requests import Request

MOST = 60  # of other facts that are looked at

# subjects that a model of any size has met, of many kinds
SUBJECTS = (
    "Albert Einstein",
    "Japan",
    "Microsoft",
    "Mozart",
    "the Amazon River",
    "Shakespeare",
    "Toyota",
    "Berlin",
    "Marie Curie",
    "Brazil",
    "Apple",
    "Beethoven",
    "Mount Everest",
    "Charles Dickens",
    "Sony",
    "Paris",
    "Isaac Newton",
    "Canada",
    "Google",
    "The Beatles",
    "the Pacific Ocean",
    "Leonardo da Vinci",
    "Volvo",
    "Cairo",
    "Napoleon",
    "Mexico",
    "Disney",
    "Elvis Presley",
    "the Eiffel Tower",
    "Jane Austen",
    "Nintendo",
    "Chicago",
)
QUESTIONS = (
    "The capital of {} is",
    "{} was born in",
    "The mother of {} was",
    "{} is known for",
    "The language of {} is",
    "In the year 1950, {} was",
    "The name of {} comes from",
    "{} is located in",
    "The founder of {} was",
    "The most famous work of {} is",
)


def other_facts(requests: Sequence[Request], retain: Sequence[Request], most: int = MOST) -> list[Request]:
    """Collect questions whose keys should not feel an edit: facts to retain, then made-up ones.

    A made-up question asks what a forget fact asks of another subject, or is plain general knowledge where the forget
    facts have no subject. Its answer is nobody's matter.

    Args:
        requests: The facts to forget, at least one.
        retain: Facts to retain; of many, evenly spaced ones are taken.
        most: How many are wanted.

    Returns:
        At most so many; fewer where wordings and subjects run out.
    """
    forgotten = {request.subject for request in requests}
    wanted = [r for r in retain if r.subject is None or r.subject not in forgotten]
    step = max(1.0, len(wanted) / most)
    found = [wanted[int(i * step)] for i in range(min(most, len(wanted)))]
    prompts = {request.prompt for request in (*requests, *found)}
    for made in _made_up(requests):
        if len(found) >= most:
            break
        if made.prompt not in prompts and made.subject not in forgotten:
            prompts.add(made.prompt)
            found.append(made)
    return found


def _made_up(requests: Sequence[Request]) -> Iterator[Request]:
    """Each wording with one subject after another, wordings in turn; finitely many."""
    asked = [request for request in requests if request.subject is not None]
    wordings = [(r.prompt[: r.subject_start], r.prompt[r.subject_end :]) for r in asked]
    wordings = list(dict.fromkeys(wordings)) or [tuple(q.split("{}")) for q in QUESTIONS]  # type: ignore[misc]
    for number in count():
        if number >= len(wordings) * len(SUBJECTS):
            return
        before, after = wordings[number % len(wordings)]
        turn, place = divmod(number, len(wordings))
        subject = SUBJECTS[(turn + 5 * place) % len(SUBJECTS)]
        yield Request(before + subject + after, "?", subject=subject, subject_start=len(before))
