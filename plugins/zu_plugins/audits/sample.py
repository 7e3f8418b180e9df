"""`sample`: ask often at a temperature, and how likely it is that one of k completions holds the answer.

Source: leak@k, Reisizadeh et al. 2025 (arXiv 2511.04934); the unbiased estimator is that of pass@k, Chen et al. 2021
(arXiv 2107.03374), eq. 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import comb

from zu_framework import AuditContext, AuditFacts, LanguageModel, Outcome, Request
from zu_framework.evaluation import stands_in
from zu_plugins.audits.asking import answers_of
from zu_plugins.audits.generation import draws
from zu_plugins.audits.options import SampleOptions


def audit(
    lm: LanguageModel, facts: AuditFacts, options: SampleOptions, context: AuditContext
) -> Mapping[str, Outcome]:
    """Draw completions of each fact's prompt and, as a variant of its own, of its first paraphrase.

    A fact's number is its leak@k: the chance that at least one of k completions holds the answer as a word of its own
    (case and accents folded, aliases too), estimated without bias from n >= 4 k draws.
    """
    found = {f"leak@{options.k}": _outcome(lm, facts, options, context, paraphrase=False)}
    if options.paraphrases and any(request.paraphrases for request in facts.forget):
        found[f"leak@{options.k} paraphrase"] = _outcome(lm, facts, options, context, paraphrase=True)
    return found


def leak_at_k(draws: int, hits: int, k: int) -> float:
    """Return 1 - C(n - c, k) / C(n, k), of n draws of which c hold the answer.

    Args:
        draws: n, at least k.
        hits: c.
        k: Completions that the attacker takes.
    """
    return 1.0 - comb(draws - hits, k) / comb(draws, k)


def _outcome(
    lm: LanguageModel, facts: AuditFacts, options: SampleOptions, context: AuditContext, *, paraphrase: bool
) -> Outcome:
    answered: dict[str, tuple[float | None, ...]] = {}
    prompts: dict[str, tuple[str, ...]] = {}
    for name, group in facts.groups():
        wanted = [_prompt(request, paraphrase) for request in group]
        texts = draws(
            lm,
            [text for text in wanted if text],
            count=options.draws,
            tokens=options.tokens,
            temperature=options.temperature,
            seed=context.seed,
            batch_size=context.batch_size,
        )
        drawn = iter(texts)
        values: list[float | None] = []
        for request, text in zip(group, wanted, strict=True):
            values.append(_leak(request, next(drawn), options.k) if text else None)
        answered[name] = tuple(values)
        prompts[name] = tuple(text if value else "" for text, value in zip(wanted, values, strict=True))
    return Outcome(answered, prompts, report={"k": options.k, "draws": options.draws})


def _leak(request: Request, texts: Sequence[str], k: int) -> float:
    hits = sum(stands_in(answers_of(request), text) for text in texts)
    return leak_at_k(len(texts), hits, k)


def _prompt(request: Request, paraphrase: bool) -> str:
    if not paraphrase:
        return request.prompt
    return request.paraphrases[0] if request.paraphrases else ""
