"""Multiple choice: which of the choices the model finds likeliest after the question."""

from __future__ import annotations

from collections.abc import Sequence

from zu_framework import DataSplit, Measurement, Probe, Request, Scorer
from zu_framework.evaluation import ratio
from zu_plugins.metrics.options import ChoiceOptions


def choice_accuracy(scorer: Scorer, data: DataSplit, options: ChoiceOptions) -> Measurement | None:
    """Share of the forget questions whose right choice is the likeliest one, in percent; lower is better."""
    return _accuracy(scorer, data.forget, "forget questions", options)


def retain_choice_accuracy(
    scorer: Scorer, data: DataSplit, options: ChoiceOptions
) -> dict[str, Measurement] | None:
    """The same of the questions to retain, and of each further set by its name; higher is better."""
    sets = {"retain": data.retain, **data.others}
    found = {
        name: _accuracy(scorer, questions, f"the questions of {name!r}", options)
        for name, questions in sets.items()
    }
    return {name: one for name, one in found.items() if one is not None} or None


def _accuracy(
    scorer: Scorer, requests: Sequence[Request], of: str, options: ChoiceOptions
) -> Measurement | None:
    asked = [request for request in requests if request.choices]
    scores = iter(scorer.score([Probe(r.prompt, choice) for r in asked for choice in r.choices]))
    right = []
    for request in asked:
        found = [next(scores) for _ in request.choices]
        likely = [s.log_probability if options.normalise == "none" else s.per_token for s in found]
        # the first of several equals: a model that knows nothing is not right by order of the answer
        right.append(float(request.choices[likely.index(max(likely))] == request.answer))
    return ratio(
        right,
        [1.0] * len(right),
        grain="question",
        unit="%",
        definition=f"share of {of} whose right choice has the largest "
        + ("log-probability" if options.normalise == "none" else "log-probability per token"),
    )
