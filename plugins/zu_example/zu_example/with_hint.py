"""`with_hint`: what is forgotten may come back when the question gives a hint."""

from zu_framework import DataSplit, Measurement, Probe, Request, Scorer
from zu_framework.evaluation import ratio


def with_hint(scorer: Scorer, data: DataSplit) -> Measurement | None:
    """Share of forget facts answered exactly after a hint, in percent; lower is better.

    The hint is the fact's own, from the field `hint` of its record, or else the answer's first letter.
    """
    probes = [Probe(f"{hint_of(request)} {request.prompt}", request.answer) for request in data.forget]
    return ratio(
        [float(score.exact) for score in scorer.score(probes)],
        [1.0] * len(probes),
        grain="fact",
        unit="%",
        definition="share of forget facts whose answer is the likeliest, token by token, after a hint",
    )


def hint_of(request: Request) -> str:
    """The hint that stands before the prompt."""
    return str(request.extra.get("hint") or f"It begins with {request.answer[0]}.")
