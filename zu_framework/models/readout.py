"""From the last layer's states to losses over the vocabulary: final norm and head at chosen places, and nowhere else.

The slope of a row's loss is known as soon as its logits are: it is carried back to the states at once, block of rows by
block of rows, so that no (places, vocabulary) matrix outlives its block.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from zu_framework.models.modules import first, is_linear, transposed

if TYPE_CHECKING:
    from zu_framework.models.language_model import LanguageModel

BLOCK_BYTES = {"cpu": 1 << 26, "cuda": 1 << 29}  # of logits that are held at a time
AGREES = {torch.float64: 1e-9, torch.float32: 1e-4}  # relative; lower precisions: HALF_AGREES
HALF_AGREES = 3e-2


@dataclass(frozen=True)
class Readout:
    """From states x (p, d) of the last layer to logits: cap tanh(scale (W norm(x) + b) / cap).

    Args:
        norm: The final norm, a module; None where there is none.
        weight: W (v, d).
        bias: b (v,), or None.
        scale: A constant factor on the logits.
        cap: Their soft cap; None leaves the tanh out.
    """

    norm: Any
    weight: Tensor
    bias: Tensor | None
    scale: float = 1.0
    cap: float | None = None

    def log_probabilities(self, states: Tensor) -> Tensor:
        """Compute log-probabilities, without gradients.

        Args:
            states: (p, d).

        Returns:
            (p, v), in float32 or better.
        """
        with torch.no_grad():
            return self._logits(self._normed(states)).log_softmax(1)

    def nll(self, states: Tensor, wanted: Tensor) -> Tensor:
        """Compute the negative log-likelihood of tokens; gradients flow to the states.

        Args:
            states: (p, d).
            wanted: Token ids (p,).

        Returns:
            (p,), in float32 or better.
        """
        return self._losses(states, wanted, None)

    def divergence(self, states: Tensor, reference: Tensor) -> Tensor:
        """Compute KL(now || reference); gradients flow to the states.

        Args:
            states: (p, d).
            reference: Log-probabilities (p, v).

        Returns:
            (p,), in float32 or better.
        """
        return self._losses(states, None, reference)

    def _losses(self, states: Tensor, wanted: Tensor | None, reference: Tensor | None) -> Tensor:
        normed = self._normed(states)
        at = normed.device
        losses: Tensor = _RowLoss.apply(  # type: ignore[no-untyped-call]
            normed,
            self,
            None if wanted is None else wanted.to(at),
            None if reference is None else reference.to(at),
        )
        return losses

    def _normed(self, states: Tensor) -> Tensor:
        at = states.to(self.weight.device)
        normed: Tensor = at if self.norm is None else self.norm(at)
        return normed

    def _logits(self, normed: Tensor) -> Tensor:
        """(p, v), in float32 or better, a tensor of its own."""
        logits = functional.linear(normed, self.weight, self.bias)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        if self.scale != 1.0:
            logits.mul_(self.scale)
        return logits if self.cap is None else logits.div_(self.cap).tanh_().mul_(self.cap)


class _RowLoss(torch.autograd.Function):
    """NLL of wanted tokens, or KL against a reference, of each row; its gradient is made on the way forward."""

    @staticmethod
    def forward(
        ctx: Any, normed: Tensor, readout: Readout, wanted: Tensor | None, reference: Tensor | None
    ) -> Tensor:
        """normed (p, d); wanted (p,) or reference (p, v); losses (p,)."""
        work = torch.promote_types(normed.dtype, torch.float32)
        rows, vocabulary = len(normed), readout.weight.shape[0]
        losses = torch.empty(rows, dtype=work, device=normed.device)
        slopes = torch.empty_like(normed) if ctx.needs_input_grad[0] else None
        room = BLOCK_BYTES.get(normed.device.type, BLOCK_BYTES["cpu"])
        block = max(1, room // (vocabulary * work.itemsize))
        for start in range(0, rows, block):
            here = slice(start, start + block)
            logits = readout._logits(normed[here])
            # d logits / d (scale z)
            bent = None if readout.cap is None else 1 - (logits / readout.cap).square()
            predicted = logits.log_softmax(1)  # (block, v)
            del logits
            if wanted is not None:
                token = wanted[here, None]
                losses[here] = -predicted.gather(1, token)[:, 0]
                if slopes is None:
                    continue
                slope = predicted.exp_()
                slope.scatter_add_(1, token, torch.full_like(token, -1, dtype=work))
            else:
                assert reference is not None
                share = predicted.exp()
                gap = predicted.sub_(reference[here])
                losses[here] = (share * gap).sum(1)
                if slopes is None:
                    continue
                slope = share.mul_(gap.sub_(losses[here, None]))
            if bent is not None:
                slope.mul_(bent)
            carried = slope.to(normed.dtype) @ readout.weight
            slopes[here] = carried if readout.scale == 1.0 else carried * readout.scale
        ctx.slopes = slopes
        return losses

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> Any:
        """The rows' gradients, each times what stands before its loss."""
        assert ctx.slopes is not None
        return ctx.slopes * outer[0].to(ctx.slopes.dtype)[:, None], None, None, None


def find_readout(lm: LanguageModel) -> Readout | None:
    """Find how a model turns its last states into logits: by structure, checked on a forward pass.

    A constant factor on the logits (cohere, granite) is measured; a soft cap (gemma2) is read from the config.

    Args:
        lm: The model.

    Returns:
        The readout; None where its logits are not head over norm.
    """
    layers = lm.model.get_submodule(lm.architecture.layers)
    head = lm.model.get_submodule(lm.architecture.head) if lm.architecture.head else None
    norm = lm.model.get_submodule(lm.architecture.final_norm) if lm.architecture.final_norm else None
    if head is None or not is_linear(head) or transposed(head):
        return None
    seen: dict[str, Tensor] = {}
    hooks = [
        layers[-1].register_forward_hook(lambda m, a, out: seen.update(states=first(out))),
        head.register_forward_hook(lambda m, a, out: seen.update(entered=a[0], head=out)),
    ]
    ids = torch.tensor([[1, 2, 3]], device=lm.device) % lm.model.config.get_text_config().vocab_size
    try:
        with torch.no_grad():
            logits = lm.model(ids, use_cache=False).logits[0].double()  # (3, v)
    finally:
        for hook in hooks:
            hook.remove()
    with torch.no_grad():
        normed = Readout(norm, head.weight, None)._normed(seen["states"])
    if normed.shape != seen["entered"].shape:
        return None  # something stands between norm and head
    raw = seen["head"][0].double().to(logits.device)
    scale = float((raw * logits).sum() / raw.square().sum().clamp_min(1e-300))
    cap = getattr(lm.model.config.get_text_config(), "final_logit_softcapping", None)
    bias = getattr(head, "bias", None)
    exact = torch.equal(raw, logits)
    for known in (
        Readout(norm, head.weight, bias, 1.0 if exact else scale),
        *([Readout(norm, head.weight, bias, 1.0, float(cap))] if cap else []),
    ):
        with torch.no_grad():
            ours = known._logits(known._normed(seen["states"][0])).double()
        error = float((ours - logits).norm() / logits.norm().clamp_min(1e-300))
        if error <= AGREES.get(lm.dtype, HALF_AGREES):
            return known
    return None
