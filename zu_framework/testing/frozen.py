"""What a component must leave of a model as it was."""

from __future__ import annotations

from typing import Any

from zu_framework.models import LanguageModel
from zu_framework.store.digests import tensor_hash


def snapshot(lm: LanguageModel) -> dict[str, Any]:
    """Return all that a component could leave changed in a model, to be compared with a later one.

    Args:
        lm: The model.

    Returns:
        Digests of parameters and buffers, gradients and flags of parameters, what each module holds, its mode and how
        many hooks it has.
    """
    return {
        "tensors": {name: tensor_hash(tensor) for name, tensor in lm.model.state_dict().items()},
        "flags": [(n, p.requires_grad, p.grad is None) for n, p in lm.model.named_parameters()],
        "modules": {name: sorted(vars(module)) for name, module in lm.model.named_modules()},
        "modes": {name: module.training for name, module in lm.model.named_modules()},
        "hooks": {
            name: (len(module._forward_hooks), len(module._forward_pre_hooks), len(module._backward_hooks))
            for name, module in lm.model.named_modules()
        },
    }
