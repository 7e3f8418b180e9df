"""What is measured: one number with what it is made of, and how a model scores a text."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Measurement:
    """One number and what it is made of. value = numerator / denominator times `factor`, or as `definition` says.

    grain: what one unit of the denominator is ("fact", "probe", "token"). unit: "%", "" ...
    low, high: bounds of the value's bootstrap 95 % interval over facts, where there is one.
    """

    value: float
    numerator: float
    denominator: float
    grain: str
    unit: str = ""
    definition: str = ""
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Score:
    """What the model thinks of an answer or a text: every token the argmax, summed log-probability, number of tokens.

    Of each token: hits: whether it is the argmax; token_log_probabilities, in nats; expected, deviations: mean and
    standard deviation of the log-probability of a token drawn from what the model predicts there; ranks: one more than
    the number of tokens that the model finds likelier.
    """

    exact: bool
    log_probability: float
    tokens: int
    hits: tuple[bool, ...] = ()
    token_log_probabilities: tuple[float, ...] = ()
    expected: tuple[float, ...] = ()
    deviations: tuple[float, ...] = ()
    ranks: tuple[int, ...] = ()

    @property
    def per_token(self) -> float:
        """Mean log-probability of a token; its exp is the geometric mean of the tokens' probabilities."""
        return self.log_probability / self.tokens if self.tokens else 0.0
