"""Reports and measurements as JSON can hold them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from torch import Tensor

from zu_framework.problem.measurement import Measurement


def plain_measurements(measured: Mapping[str, Measurement]) -> dict[str, Any]:
    """Return measurements by metric, as JSON can hold them."""
    return {name: finite(asdict(m)) for name, m in measured.items()}


def finite(value: Any) -> Any:
    """Return the same, infinite and undefined numbers as text: JSON holds none, and null would hide which it was."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return value


def plain(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return a report as JSON can hold it."""

    def of(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.item() if value.ndim == 0 else value.tolist()
        if isinstance(value, Mapping):
            return {str(k): of(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [of(v) for v in value]
        return value

    return {str(k): of(v) for k, v in report.items()}
