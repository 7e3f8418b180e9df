"""Membership inference: whether the model's scores of a text show that it was trained on it.

Each attack gives a text one number, larger where the text looks familiar; the measurement is the area under the ROC
curve of members (forget texts) against non-members (texts that no training saw): 1 tells them apart, 0.5 is chance.
Members are the data set's `forget` texts, non-members its `holdout` texts; or, of question/answer data, the answers of
the forget facts and of the further set `holdout`.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score

from zu_framework import ConfigError, DataSplit, Measurement, Probe, Request, Score, Scorer
from zu_framework.evaluation import interval
from zu_plugins.metrics.options import MinKOptions

# of a next-token distribution that is all but certain (min-k++'s own guard: variance 1e-6)
SMALLEST_DEVIATION = 1e-3
WORST = -1e30  # of a token that the model gives no probability

Attack = Callable[[str, Score], float]


@dataclass(frozen=True)
class Sides:
    """Two groups of texts, a number each, larger where the text looks familiar.

    Args:
        members: (n,), texts trained on.
        others: (m,), texts never trained on.
    """

    members: Any
    others: Any


def mia_loss(scorer: Scorer, data: DataSplit) -> Measurement | None:
    """AUC by the mean log-probability of a token.

    Source: Yeom et al. (2018).
    """
    return _auc(sides(scorer, data, lambda _, score: score.per_token), "mean log-probability of a token")


def mia_zlib(scorer: Scorer, data: DataSplit) -> Measurement | None:
    """AUC by the mean log-probability of a token over the bytes of the zlib-compressed text.

    Source: Carlini et al. (2021).
    """

    def familiar(text: str, score: Score) -> float:
        return score.per_token / len(zlib.compress(text.encode()))

    return _auc(
        sides(scorer, data, familiar), "mean log-probability of a token / bytes of the compressed text"
    )


def mia_min_k(scorer: Scorer, data: DataSplit, options: MinKOptions) -> Measurement | None:
    """AUC by the mean log-probability of the least likely share k of the tokens.

    Source: Shi et al. (2024).
    """
    return _auc(
        sides(scorer, data, min_k(options)),
        f"mean log-probability of the least likely {options.k:g} of tokens",
    )


def mia_min_k_plus_plus(scorer: Scorer, data: DataSplit, options: MinKOptions) -> Measurement | None:
    """AUC as of `mia_min_k`, each token's log-probability standardised by its mean and deviation under the model.

    Source: Zhang et al. (2025).
    """

    def familiar(text: str, score: Score) -> float:
        parts = zip(score.token_log_probabilities, score.expected, score.deviations, strict=True)
        return _lowest(
            [(found - mean) / max(dev, SMALLEST_DEVIATION) for found, mean, dev in parts], options.k
        )

    return _auc(
        sides(scorer, data, familiar),
        f"mean standardised log-probability of the lowest {options.k:g} of tokens",
    )


def privleak(scorer: Scorer, data: DataSplit, options: MinKOptions) -> Measurement | None:
    """PrivLeak: how far the error of the min-k attack, 1 - AUC, lies from a retrained model's, in percent of that.

    Negative: the members still show (too little forgotten); positive: they show by being too unlikely (too much); 0 is
    best. Where the attack on the retrained model never errs, nothing is measured. Source: Shi et al., MUSE (2024),
    whose AUC takes forget texts for the non-members: 1 - ours.
    """
    mine = sides(scorer, data, min_k(options))
    if mine is None:
        return None
    if scorer.reference is None:
        raise ConfigError("privleak compares with a retrained model: give evaluate.reference=FOLDER")
    theirs = sides(scorer.reference, data, min_k(options))
    assert theirs is not None
    error = float(1 - areas(theirs.members, theirs.others))
    if error == 0:
        return None  # the attack on the retrained model never errs: there is nothing to measure by

    def leak(members: Any, others: Any) -> Any:
        errors = [1 - areas(side.members[members], side.others[others]) for side in (mine, theirs)]
        with np.errstate(divide="ignore", invalid="ignore"):
            return 100 * (errors[0] - errors[1]) / errors[1]

    sizes = len(mine.members), len(mine.others)
    everyone = [np.arange(size)[None] for size in sizes]
    value = float(leak(*everyone)[0])
    low, high = interval(leak, *sizes)
    return Measurement(
        value=value,
        numerator=float(1 - areas(mine.members, mine.others)),
        denominator=error,
        grain="attack error",
        definition="100 (numerator - denominator) / denominator: 1 - AUC of the min-k attack on this model, and on the "
        "retrained reference",
        low=low,
        high=high,
    )


def sides(scorer: Scorer, data: DataSplit, familiar: Attack) -> Sides | None:
    """Attack members and non-members.

    Args:
        scorer: Of the model that is attacked.
        data: Texts `forget` and `holdout`, or forget facts and the further set `holdout`.
        familiar: The attack: a number of a text and its score, larger where the text looks familiar.

    Returns:
        A number a text; None where the data hold no non-members.
    """
    texts = data.texts.get("forget", ()), data.texts.get("holdout", ())
    if all(texts):
        return Sides(*(_of_texts(scorer, side, familiar) for side in texts))
    facts = data.forget, data.others.get("holdout", ())
    if all(facts):
        return Sides(*(_of_facts(scorer, side, familiar) for side in facts))
    return None


def min_k(options: MinKOptions) -> Attack:
    """Return the attack by the mean log-probability of the least likely tokens.

    Args:
        options: `k` is the share of tokens.

    Returns:
        The attack.
    """
    return lambda _, score: _lowest(score.token_log_probabilities, options.k)


def areas(members: Any, others: Any) -> Any:
    """Compute areas under the ROC curve by the ranks of members among all; ties count one half.

    Args:
        members: (..., n).
        others: (..., m).

    Returns:
        (...), from 0 to 1.
    """
    n, m = members.shape[-1], others.shape[-1]
    ranks = rankdata(np.concatenate([members, others], -1), axis=-1)[..., :n].sum(-1)
    return (ranks - n * (n + 1) / 2) / (n * m)


def _auc(found: Sides | None, what: str) -> Measurement | None:
    if found is None:
        return None
    n, m = len(found.members), len(found.others)
    value = float(roc_auc_score([1] * n + [0] * m, np.concatenate([found.members, found.others])))
    low, high = interval(lambda a, b: areas(found.members[a], found.others[b]), n, m)
    return Measurement(
        value=value,
        numerator=value * n * m,
        denominator=n * m,
        grain="pair",
        definition=f"area under the ROC curve: share of pairs where the member scores above the non-member, by {what}",
        low=low,
        high=high,
    )


def _of_texts(scorer: Scorer, texts: Sequence[str], familiar: Attack) -> Any:
    scores = scorer.score_texts(texts)
    return np.array([_finite(familiar(t, s)) for t, s in zip(texts, scores, strict=True) if s.tokens])


def _of_facts(scorer: Scorer, facts: Sequence[Request], familiar: Attack) -> Any:
    scores = scorer.score([Probe(fact.prompt, fact.answer) for fact in facts])
    return np.array([_finite(familiar(f.answer, s)) for f, s in zip(facts, scores, strict=True)])


def _lowest(values: Sequence[float], share: float) -> float:
    """The mean of the lowest share, at least one."""
    count = max(1, int(len(values) * share))
    return math.fsum(_finite(value) for value in sorted(values)[:count]) / count


def _finite(value: float) -> float:
    return max(value, WORST)
