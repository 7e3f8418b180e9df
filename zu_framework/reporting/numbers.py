"""How numbers are written on a page: few digits, a real minus, units that people read."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from zu_framework.problem import Measurement

NONE = "\u2013"  # an en dash


def number(value: Any, digits: int = 3) -> str:
    """A number to `digits` significant figures; text and missing values as they are ("inf", a dash)."""
    if value is None:
        return NONE
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if not math.isfinite(value):
        return str(value)
    if isinstance(value, int) or (value == int(value) and abs(value) < 10**digits):
        return f"{int(value):,}".replace(",", "\u202f").replace("-", "\u2212")
    if 1e-3 <= abs(value) < 1e5:
        whole = len(str(int(abs(value)))) if abs(value) >= 1 else 0
        places = max(0, digits - whole) if whole else digits - 1 - math.floor(math.log10(abs(value)))
        text = f"{value:,.{places}f}".replace(",", "\u202f")
    else:
        mantissa, _, exponent = f"{value:.{max(0, digits - 2)}e}".partition("e")
        text = f"{mantissa}e{int(exponent)}"
    return text.replace("-", "\u2212")


def percent(share: float | None, digits: int = 1) -> str:
    """A share of one in percent; what is above nothing is never written as nothing."""
    if share is None:
        return NONE
    if not math.isfinite(share):
        return str(share)
    least = 10.0**-digits
    if 0 < 100 * share < least:
        return f"<{least:g}\u202f%"
    return f"{100 * share:.{digits}f}\u202f%".replace("-", "\u2212")


def seconds(value: float | None) -> str:
    """A duration: "12 ms", "3.4 s", "2 min 5 s", "1 h 3 min"."""
    if value is None:
        return NONE
    if value < 0.9995:
        return f"{1000 * value:.0f}\u202fms" if value >= 0.001 or value == 0 else "<1\u202fms"
    if value < 59.95:
        return f"{value:.1f}\u202fs"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes}\u202fmin {rest}\u202fs"
    return f"{minutes // 60}\u202fh {minutes % 60}\u202fmin"


def size(count: float | None) -> str:
    """Bytes: "579 MiB"."""
    if count is None:
        return NONE
    value, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.0f}\u202f{unit}" if value >= 100 or unit == "B" else f"{value:.1f}\u202f{unit}"


def measured(value: Measurement | None) -> str:
    """A measurement with its unit."""
    if value is None:
        return NONE
    if value.unit == "%":
        return f"{value.value:.1f}\u202f%"
    return (
        f"{number(value.value, 4 if value.value >= 1 else 3)}{chr(0x202F) + value.unit if value.unit else ''}"
    )


def interval(value: Measurement | None) -> str:
    """A measurement's bounds, or nothing where it has none."""
    if value is None or value.low is None or value.high is None:
        return ""
    low, high = (measured(Measurement(b, 0, 1, value.grain, value.unit)) for b in (value.low, value.high))
    return f"{low.removesuffix(chr(0x202F) + '%')} to {high}"


FILTERS: Mapping[str, Callable[..., str]] = {
    "number": number,
    "percent": percent,
    "seconds": seconds,
    "size": size,
    "measured": measured,
    "interval": interval,
}
