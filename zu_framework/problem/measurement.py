"""What is measured: one number with what it is made of, and how a model scores a text."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Measurement:
    """One number and what it is made of.

    Args:
        value: numerator / denominator, in percent where the unit says so, or what `definition` says.
        numerator: What is counted.
        denominator: Of how many.
        grain: What one unit of the denominator is, in the singular: "fact", "probe", "token".
        unit: "%" or "".
        definition: What the number is, in words.
        low: Lower bound of the value's bootstrap 95 % interval over facts; None where there is none.
        high: Upper bound of it.
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
    """How likely an answer or a text is under a model, teacher-forced.

    Args:
        exact: Whether every token is the argmax.
        log_probability: Of all tokens together, in nats.
        tokens: How many there are.
        hits: Of each token, whether it is the argmax.
        token_log_probabilities: Of each token, in nats.
        expected: Of each place, the mean log-probability of a token drawn from what the model predicts there.
        deviations: Of each place, the standard deviation of that log-probability.
        ranks: Of each token, one more than the number of tokens that the model finds likelier.
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
