"""Second moments of a site on general text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from zu_framework.errors import SolverError

MOMENTS = ("key_moment", "value_moment", "mean_value")


@dataclass(frozen=True, eq=False)
class Background:
    """Moments of what a site reads and gives on general text: raw, not centred, divided by the number of tokens.

    Args:
        key_moment: C = E[k k^T] (i, i).
        value_moment: M0 = E[v v^T] (o, o), values without the bias; where it is None it follows from the key moment.
        mean_value: E[v] (o,).
        count: Tokens that they were taken over.
        digests: Moment -> what identifies it where factors are kept. A moment without one is told by its entries.
    """

    key_moment: Tensor | None = None
    value_moment: Tensor | None = None
    mean_value: Tensor | None = None
    count: int | None = None
    digests: Mapping[str, str] = field(default_factory=dict)

    @property
    def given(self) -> frozenset[str]:
        """The names of the moments that are there."""
        return frozenset(name for name in MOMENTS if getattr(self, name) is not None)

    def require(self, moment: str) -> Tensor:
        """Return a moment as it was given.

        Args:
            moment: Its name.

        Returns:
            The tensor.

        Raises:
            SolverError: It is not there.
        """
        found: Tensor | None = getattr(self, moment)
        if found is None:
            raise SolverError(
                f"this background holds no {moment}: give it, or declare it in the spec's needs"
            )
        return found

    def value_moment_under(self, weight: Tensor) -> Tensor:
        """Return the value moment: as given, or else `W C W^T` in float64.

        Args:
            weight: W (o, i).

        Returns:
            M0 (o, o).

        Raises:
            SolverError: Neither moment is there.
        """
        if self.value_moment is not None or self.key_moment is None:
            return self.require("value_moment")
        wide = weight.detach().to(torch.float64)
        return wide @ self.key_moment.to(wide) @ wide.T  # (o, o)

    def only(self, moments: frozenset[str]) -> Background:
        """Return these moments alone; a value moment that is not given leaves the key moment, from which it follows.

        Args:
            moments: Names; what is not there stays away.

        Returns:
            A background with these moments.
        """
        if "value_moment" in moments and self.value_moment is None:
            moments = moments | {"key_moment"}
        left = {name: None for name in MOMENTS if name not in moments}
        return replace(self, digests={name: d for name, d in self.digests.items() if name in moments}, **left)
