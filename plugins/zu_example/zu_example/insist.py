"""`insist`: what is not said at once may be said when it is asked again."""

from collections.abc import Mapping

from zu_example.plugin import InsistOptions
from zu_framework import AuditContext, AuditFacts, LanguageModel, Outcome, Probe, Request, Scorer


def attack(
    lm: LanguageModel, facts: AuditFacts, options: InsistOptions, context: AuditContext
) -> Mapping[str, Outcome]:
    """Ask each fact with its question before it, `times` times; nothing is changed in the model."""
    scorer = Scorer(lm, context.batch_size)
    answered: dict[str, tuple[float, ...]] = {}
    prompts: dict[str, tuple[str, ...]] = {}
    for group, requests in facts.groups():
        texts = [insisted(request, options.times) for request in requests]
        probes = [Probe(text, request.answer) for text, request in zip(texts, requests, strict=True)]
        hits = [score.exact for score in scorer.score(probes)]
        answered[group] = tuple(map(float, hits))
        prompts[group] = tuple(text if hit else "" for text, hit in zip(texts, hits, strict=True))
    return {"insist": Outcome(answered, prompts)}


def insisted(request: Request, times: int) -> str:
    """The question, left unanswered some times, and once more."""
    return " ".join([f"{request.prompt}?"] * times + [request.prompt])
