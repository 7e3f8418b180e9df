"""What the files of an edit say of how it came about: model, versions, facts, seed."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import transformers
import xxhash

import zu_framework
from zu_framework.models import LanguageModel
from zu_framework.problem import Request, Site


def about_edit(
    lm: LanguageModel, sites: Sequence[Site], requests: Sequence[Request], model: str, seed: int
) -> dict[str, Any]:
    """Return what an edit's files say of it, but for the fingerprints and the solver.

    Args:
        lm: The edited model.
        sites: Where it was edited.
        requests: The facts that were to be forgotten.
        model: Where it was loaded from; "" for a model in memory.
        seed: Of every draw.
    """
    return {
        "model": model,
        "base": model or str(getattr(lm.model, "name_or_path", "")),
        "model_type": lm.model_type,
        "dtype": str(lm.dtype).removeprefix("torch."),
        "transposed": any(lm.stores_transposed(site) for site in sites),
        "versions": versions(),
        "requests": len(requests),
        "request_digest": request_digest(requests),
        "seed": seed,
    }


def request_digest(requests: Sequence[Request]) -> str:
    """Return the xxh3-128 of what was asked: prompts, subjects, answers, targets, in order."""
    asked = [[r.prompt, r.subject, r.subject_start, r.answer, r.target] for r in requests]
    return xxhash.xxh3_128_hexdigest(json.dumps(asked, ensure_ascii=False).encode())


def versions() -> Mapping[str, str]:
    """Return the versions of what made the edit."""
    return {
        "zu_framework": zu_framework.__version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
    }
