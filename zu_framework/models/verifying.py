"""Whether a site's module computes what its weight says: tried on a real forward pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from zu_framework.errors import ModelError
from zu_framework.models.tokens import batch
from zu_framework.models.tracing import row_of, run_until
from zu_framework.problem import ReadPrompt, Site

if TYPE_CHECKING:
    from zu_framework.models.language_model import LanguageModel


def check_linear(lm: LanguageModel, site: Site, text: str) -> None:
    """Compare the outputs of a site's module with W k + b.

    Args:
        lm: The model.
        site: Of this model.
        text: That is run.

    Raises:
        ModelError: They differ; the module is named.
    """
    made = batch([row_of(lm, ReadPrompt(text, len(text)))], lm.device)
    ran: list[tuple[Tensor, Tensor]] = []
    run_until(lm, [site.module], made.input_ids, made.attention_mask, lambda _, k, v: ran.append((k, v)))
    keys, values = (states[0].T.to(torch.float64) for states in ran[0])  # (i, t), (o, t)
    weight, bias = lm.weight(site).to(torch.float64), lm.bias(site)
    if weight.shape != (values.shape[0], keys.shape[0]):
        raise ModelError(
            f"module {site.module!r} maps {keys.shape[0]} to {values.shape[0]}, its weight does not"
        )
    expected = weight @ keys + (0 if bias is None else bias.to(torch.float64)[:, None])
    tolerance = 1e-4 if lm.dtype in (torch.float32, torch.float64) else 3e-2
    error = float((expected - values).norm() / values.norm().clamp_min(1e-30))
    if not error <= tolerance:
        raise ModelError(
            f"module {site.module!r} does not compute W k + b (relative error {error:.1e}): it is quantised, carries "
            "an adapter, or is no plain linear map; merge the adapter, load the model unquantised, or choose another "
            "layer"
        )
