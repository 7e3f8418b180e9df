"""`wording`: ask for the same fact in other words, in other spellings, from the other end.

Sources of the words: the data set's own fields (paraphrases, implied questions, and in `extra`: `subject_aliases`,
`translations`), and templates by relation (`reversal.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from zu_framework import AuditContext, AuditError, AuditFacts, LanguageModel, Outcome, Probe, Request, Scorer
from zu_plugins.audits.options import WordingOptions
from zu_plugins.audits.reversal import reversed_text


def audit(
    lm: LanguageModel, facts: AuditFacts, options: WordingOptions, context: AuditContext
) -> Mapping[str, Outcome]:
    """Ask every fact in each way; a fact counts where any of the way's texts is answered, token by token.

    Raises:
        AuditError: None of the ways has a text for these facts.
    """
    found = {}
    for way in options.ways:
        asked = {name: [WAYS[way](request) for request in group] for name, group in facts.groups()}
        if any(asked["forget"]):
            found[f"wording {way}"] = _outcome(lm, asked, context)
    if not found:
        raise AuditError(f"the facts have no text for {', '.join(options.ways)}")
    return found


def _outcome(
    lm: LanguageModel, asked: Mapping[str, Sequence[Sequence[Probe]]], context: AuditContext
) -> Outcome:
    scorer = Scorer(lm, context.batch_size)
    scorer.score([probe for group in asked.values() for probes in group for probe in probes])
    answered: dict[str, tuple[float | None, ...]] = {}
    prompts: dict[str, tuple[str, ...]] = {}
    for name, group in asked.items():
        values: list[float | None] = []
        texts: list[str] = []
        for probes in group:
            hits = [probe for probe, score in zip(probes, scorer.score(probes), strict=True) if score.exact]
            values.append(float(bool(hits)) if probes else None)
            texts.append(hits[0].prompt if hits else "")
        answered[name], prompts[name] = tuple(values), tuple(texts)
    return Outcome(answered, prompts)


def _paraphrases(request: Request) -> list[Probe]:
    return [Probe(text, request.answer) for text in request.paraphrases]


def _aliases(request: Request) -> list[Probe]:
    """The subject by another name."""
    return [
        _with_subject(request, name) for name in _listed(request, "subject_aliases") if isinstance(name, str)
    ]


def _spelling(request: Request) -> list[Probe]:
    """The subject in lower case, in capitals, with two letters swapped, with one doubled."""
    subject = request.subject
    if subject is None or len(subject) < 4:
        return []
    middle = len(subject) // 2
    swapped = subject[: middle - 1] + subject[middle] + subject[middle - 1] + subject[middle + 1 :]
    doubled = subject[:middle] + subject[middle - 1] + subject[middle:]
    spellings = dict.fromkeys([subject.lower(), subject.upper(), swapped, doubled])
    return [_with_subject(request, one) for one in spellings if one != subject]


def _negation(request: Request) -> list[Probe]:
    """The fact denied, and the denial denied."""
    prompt = request.prompt[:1].lower() + request.prompt[1:] if request.subject_start else request.prompt
    starts = ("It is wrong to doubt that", "Nobody denies that", "It is not true that anyone disputes that")
    return [Probe(f"{start} {prompt}", request.answer) for start in starts]


def _reversed(request: Request) -> list[Probe]:
    """From the answer to the subject, for relations with a template; the subject is what must be said."""
    text = reversed_text(request)
    return [] if text is None or request.subject is None else [Probe(text, request.subject)]


def _multi_hop(request: Request) -> list[Probe]:
    return [Probe(p.prompt, text) for p in request.implied for text in (p.answer, *p.aliases)]


def _translations(request: Request) -> list[Probe]:
    return [
        Probe(str(one["prompt"]), str(one["answer"]))
        for one in _listed(request, "translations")
        if isinstance(one, Mapping) and one.get("prompt") and one.get("answer")
    ]


def _listed(request: Request, name: str) -> Sequence[object]:
    extra: Mapping[str, object] = getattr(request, "extra", {})
    found = extra.get(name, ())
    return found if isinstance(found, list | tuple) else ()


def _with_subject(request: Request, subject: str) -> Probe:
    """The fact's prompt with another text in place of its subject."""
    if request.subject_start is None or request.subject_end is None:
        return Probe(request.prompt, request.answer)
    text = request.prompt[: request.subject_start] + subject + request.prompt[request.subject_end :]
    return Probe(text, request.answer)


WAYS: Mapping[str, Callable[[Request], list[Probe]]] = {
    "paraphrases": _paraphrases,
    "aliases": _aliases,
    "spelling": _spelling,
    "negation": _negation,
    "reversed": _reversed,
    "multi_hop": _multi_hop,
    "translations": _translations,
}
