"""Which device a name means, and whether it is there."""

from __future__ import annotations

import os

import torch
import torch.distributed as dist

from zu_framework.errors import ConfigError


def local_device() -> str:
    """Return the GPU that belongs to this process, as torchrun numbers them."""
    return f"cuda:{int(os.environ.get('LOCAL_RANK', '0'))}" if dist.is_torchelastic_launched() else "cuda"


def device_named(name: str) -> str:
    """Return the device of `model.device`; auto is cuda where there is one.

    Raises:
        ConfigError: It is no device, or not there.
    """
    if name == "auto":
        return local_device() if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as cause:
        raise ConfigError(f"model.device {name!r} is no device: use auto, cpu, cuda or cuda:N") from cause
    try:
        torch.empty(1, device=device).cpu()  # meta holds no numbers; torch built without CUDA asserts
    except (RuntimeError, AssertionError) as cause:
        what = str(cause).splitlines()[0] if str(cause) else type(cause).__name__
        raise ConfigError(f"model.device {name!r} is not there: {what}; use model.device=cpu") from cause
    return name
