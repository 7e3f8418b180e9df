"""float32 products on a CPU, by the quicker of torch's two libraries where it is as exact; and attention to suit it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

# Relative to float64: rounding in float32 leaves 3e-7 to 6e-7, bfloat16 2e-3.
AS_EXACT = 2e-6
# (m, k, n) of the trial: few rows, many, and long sums
TRIALS = ((7, 96, 64), (300, 576, 1536), (48, 1536, 1024))
# keys up to which the plain formula is the quicker attention: the fused one asks for many small products, each of which
# costs oneDNN more to set up than to compute (measured: twelve times the time at 19 keys; at 128 the same forward and
# three times with the backward pass; less from 512 on)
SHORT = 256
_LOCK = Lock()
_inside = 0  # blocks that are open, of any thread


@contextmanager
def quick_products() -> Iterator[None]:
    """Let oneDNN compute float32 products in this block, where it is as exact as MKL on this processor.

    On AMD's processors MKL leaves AVX-512 alone, and oneDNN is twice as quick. torch asks oneDNN only where it may
    round to bfloat16, which oneDNN does where that pays; a trial against float64 tells, once a process. Nothing changes
    where there is a CUDA device, whose products the same setting governs, or where a precision was chosen already.

    Returns:
        A context manager and a decorator; when the last open block ends, torch's setting is what it was.
    """
    if not _enter():
        yield
        return
    try:
        with _ShortAttention():
            yield
    finally:
        _leave()


class _ShortAttention(TorchFunctionMode):
    """Computes attention to a few keys by its plain formula."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        if func is not scaled_dot_product_attention or not _short(*args[:2]):
            return func(*args, **given)
        with sdpa_kernel(SDPBackend.MATH):
            return func(*args, **given)


def _short(query: Tensor | None = None, key: Tensor | None = None) -> bool:
    if query is None or key is None:  # given by name
        return False
    return query.dtype == torch.float32 and query.device.type == "cpu" and key.shape[-2] <= SHORT


def _enter() -> bool:
    """Whether this block counts among those that the setting was changed for."""
    global _inside
    with _LOCK:
        if not _inside and not (_untouched() and as_exact()):
            return False
        if not _inside:
            torch.set_float32_matmul_precision("medium")
        _inside += 1
        return True


def _leave() -> None:
    global _inside
    with _LOCK:
        _inside -= 1
        if not _inside:
            torch.set_float32_matmul_precision("highest")


def _untouched() -> bool:
    """Whether torch's precision is its default; reading it raises where parts of it were set by themselves."""
    try:
        return torch.get_float32_matmul_precision() == "highest"
    except RuntimeError:
        return False


@cache
def as_exact() -> bool:
    """Return whether products that may round to bfloat16 keep float32's precision here."""
    if torch.cuda.is_available():
        return False
    torch.set_float32_matmul_precision("medium")
    try:
        return max(_error(*shape) for shape in TRIALS) < AS_EXACT
    finally:
        torch.set_float32_matmul_precision("highest")


def _error(m: int, k: int, n: int) -> float:
    """The larger relative error of a product and of its transpose's."""
    draw = torch.Generator().manual_seed(0)  # the global random state stays as it was
    a, b = torch.randn(m, k, generator=draw), torch.randn(n, k, generator=draw)
    exact = a.double() @ b.double().T
    errors = [(a @ b.T - exact).norm() / exact.norm(), (b @ a.T - exact.T).norm() / exact.norm()]
    return float(max(errors))
