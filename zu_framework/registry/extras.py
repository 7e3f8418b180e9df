"""Packages that a distribution asks for in an extra: which one to install where such a package is missing."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, requires

FRAMEWORK = "zu-framework"


def missing_extra(cause: BaseException, distribution: str = FRAMEWORK) -> str:
    """Return how to install what an import missed.

    Args:
        cause: What the import raised.
        distribution: Whose extras are looked through.

    Returns:
        "pip install 'NAME[EXTRA]'", or "" where nothing is missing that an extra brings.
    """
    if not isinstance(cause, ModuleNotFoundError) or not cause.name:
        return ""
    package = _normal(cause.name.partition(".")[0])
    try:
        declared = requires(distribution) or []
    except PackageNotFoundError:
        return ""
    for line in declared:
        found = re.match(r"([\w.-]+).*;.*extra == ['\"]([\w.-]+)['\"]", line)
        if found and _normal(found[1]) == package:
            return f"pip install '{distribution}[{found[2]}]'"
    return ""


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
