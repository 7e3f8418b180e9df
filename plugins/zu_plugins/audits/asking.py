"""Asking a model for facts: by teacher forcing, by what it writes, and which facts share a relation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from zu_framework import AuditFacts, LanguageModel, Outcome, Probe, Request, Scorer

Asked = Callable[[Sequence[Request]], list[float]]


def exact(lm: LanguageModel, requests: Sequence[Request], batch_size: int) -> list[float]:
    """Return for each fact whether every token of its answer is the likeliest after its own prompt (1.0 or 0.0)."""
    scores = Scorer(lm, batch_size).score([Probe(request.prompt, request.answer) for request in requests])
    return [float(score.exact) for score in scores]


def paraphrased(lm: LanguageModel, requests: Sequence[Request], batch_size: int) -> float | None:
    """Return the share of the facts' paraphrases that are answered exactly; None where there is none."""
    probes = [Probe(text, request.answer) for request in requests for text in request.paraphrases]
    if not probes:
        return None
    scores = Scorer(lm, batch_size).score(probes)
    return sum(score.exact for score in scores) / len(scores)


def asked(lm: LanguageModel, facts: AuditFacts, batch_size: int, **report: object) -> Outcome:
    """Return the outcome of asking each fact's own prompt under the model as it is now.

    The report holds the share of forget paraphrases that are answered, and what `report` names besides.
    """
    answered = {name: tuple(exact(lm, group, batch_size)) for name, group in facts.groups()}
    prompts = {
        name: tuple(r.prompt if hit else "" for r, hit in zip(group, answered[name], strict=True))
        for name, group in facts.groups()
    }
    return Outcome(
        answered, prompts, report={"paraphrases": paraphrased(lm, facts.forget, batch_size), **report}
    )


def best_of(ways: Sequence[Outcome]) -> Outcome:
    """Return, fact by fact, the best of several ways of asking the same facts, with the prompt that got it out."""
    answered: dict[str, tuple[float | None, ...]] = {}
    prompts: dict[str, tuple[str, ...]] = {}
    for name in ways[0].answered:
        columns = list(zip(*(way.answered[name] for way in ways), strict=True))
        texts = list(zip(*(way.prompts[name] for way in ways), strict=True))
        known = [[-1.0 if value is None else value for value in column] for column in columns]
        places = [column.index(max(column)) for column in known]
        answered[name] = tuple(column[at] for column, at in zip(columns, places, strict=True))
        prompts[name] = tuple(
            row[at] if column[at] else "" for row, column, at in zip(texts, columns, places, strict=True)
        )
    return Outcome(answered, prompts)


def answers_of(request: Request) -> tuple[str, ...]:
    """Return the texts that count as the answer: itself and its aliases."""
    return (request.answer, *request.aliases)


def relation_of(request: Request) -> str:
    """Return the relation of a fact: as its data set names it, else its prompt with the subject left out."""
    extra: Mapping[str, object] = getattr(request, "extra", {})
    named = extra.get("relation") or extra.get("relation_id")
    if isinstance(named, str):
        return named
    if request.subject_start is None or request.subject_end is None:
        return ""
    return request.prompt[: request.subject_start] + "{}" + request.prompt[request.subject_end :]


def by_relation(requests: Sequence[Request]) -> dict[str, list[Request]]:
    """Return the facts by their relation, in their order."""
    found: dict[str, list[Request]] = {}
    for request in requests:
        found.setdefault(relation_of(request), []).append(request)
    return found
