"""Several processes, one run: what is added up, what is told to all, and how all end when one fails.

`torchrun --nproc-per-node N -m zu_framework run ...` starts them. Messages are JSON and raw tensors: no pickle. CPU
tensors travel by gloo, those of a GPU by NCCL.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from zu_framework.errors import PeerError, ProcessError
from zu_framework.models.devices import local_device

# Process 0 measures while the others wait for it: patience costs nothing, since a process that dies is noticed at once.
PATIENCE = timedelta(days=2)
CLAIM = "zu/failed"  # the first process that adds to it says what went wrong; the others end silently

Facts = Any  # what JSON holds
Message = tuple[Facts, dict[str, Tensor]]


@dataclass(frozen=True)
class Processes:
    """This process among those of the run. Every method but `share` must be called by all of them, in one order."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes, prints and solves for all."""
        return self.rank == 0

    def share(self, total: int) -> range:
        """Which of `total` things are this process's: a stretch, so that batches stay what they were."""
        return range(total * self.rank // self.count, total * (self.rank + 1) // self.count)

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Each tensor becomes its sum over processes, in place, everywhere."""
        if self.count > 1:
            for tensor in tensors:
                dist.all_reduce(tensor)

    def move_to_first(self, tensors: Sequence[Tensor]) -> None:
        """Each tensor becomes its sum over processes in the first, and zero in the others, in place."""
        if self.count > 1:
            for tensor in tensors:
                dist.reduce(tensor, dst=0)
                if not self.first:
                    tensor.zero_()

    def tell(self, facts: Facts = None) -> Facts:
        """What the first process says; the others' argument is not read."""
        return self.send(facts)[0]

    def send(
        self,
        facts: Facts = None,
        tensors: Mapping[str, Tensor] | None = None,
        *,
        source: int = 0,
        device: torch.device | str = "cpu",
    ) -> Message:
        """Facts and tensors as the source process has them; those received lie on `device`."""
        mine = dict(tensors or {})
        if self.count == 1:
            return facts, mine
        wire = _wire()
        head = b""
        if self.rank == source:
            listed = [[name, list(t.shape), str(t.dtype).removeprefix("torch.")] for name, t in mine.items()]
            head = json.dumps([facts, listed]).encode()
        length = torch.tensor([len(head)], device=wire)
        dist.broadcast(length, source)
        body = torch.zeros(int(length), dtype=torch.uint8, device=wire)
        if self.rank == source:
            body.copy_(torch.frombuffer(bytearray(head), dtype=torch.uint8))
        dist.broadcast(body, source)
        if self.rank == source:
            for tensor in mine.values():
                dist.broadcast(_raw(tensor.detach().to(wire).contiguous()), source)
            return facts, mine
        facts, listed = json.loads(bytes(body.cpu().numpy()))
        got = {}
        for name, shape, dtype in listed:
            tensor = torch.empty(shape, dtype=getattr(torch, dtype), device=wire)
            dist.broadcast(_raw(tensor), source)
            got[name] = tensor.to(device)
        return facts, got

    def exchange(
        self, facts: Facts = None, tensors: Mapping[str, Tensor] | None = None, device: Any = "cpu"
    ) -> list[Message]:
        """What every process says, in the order of ranks."""
        return [self.send(facts, tensors, source=rank, device=device) for rank in range(self.count)]

    def agree(self, what: str, value: str) -> None:
        """Check that all hold the same. Raises `ProcessError` that names what differs, everywhere."""
        said = [facts for facts, _ in self.exchange(value)]
        for rank, theirs in enumerate(said):
            if theirs != said[0]:
                raise ProcessError(
                    f"process {rank} of {self.count} holds another {what} than process 0: give all of them the same "
                    "checkpoint, data and versions"
                )


def current() -> Processes:
    """The processes that torch.distributed has joined; a single one where it has not."""
    if dist.is_available() and dist.is_initialized():
        return Processes(dist.get_rank(), dist.get_world_size())
    return Processes()


def rank_here() -> int:
    """This process's rank as torchrun gave it, 0 without: known before anything is joined.

    Raises:
        ProcessError: RANK is no number.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return 0
    given = os.environ.get("RANK", "0")
    if not given.isdecimal():
        raise ProcessError(
            f"RANK is {given!r}, which is no number: start the processes by torchrun, or unset WORLD_SIZE"
        )
    return int(given)


@contextmanager
def joined() -> Iterator[Processes]:
    """Join the processes that torchrun started, if it did, until the block ends.

    Where one fails, it alone raises what went wrong; in the others, which cannot go on, the block raises `PeerError`.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1" or dist.is_initialized():
        yield current()
        return
    try:
        store, rank, count = next(iter(rendezvous("env://", timeout=timedelta(minutes=5))))
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        if torch.cuda.is_available():
            torch.cuda.set_device(local_device())
        dist.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=PATIENCE)
    except (ValueError, RuntimeError) as cause:
        raise ProcessError(
            f"WORLD_SIZE is {os.environ['WORLD_SIZE']}, but the processes cannot be joined ({cause}): start them by "
            "torchrun, or unset WORLD_SIZE"
        ) from cause
    try:
        yield Processes(rank, count)
    except BaseException as cause:
        if _first_to_fail(store):
            raise
        raise PeerError(f"process {rank} of {count} ends: another one failed") from cause
    finally:
        dist.destroy_process_group()


def _first_to_fail(store: Any) -> bool:
    try:
        return bool(store.add(CLAIM, 1) == 1)
    except RuntimeError:  # the store went with the process that kept it, which had failed before
        return False


def _wire() -> torch.device:
    """Where messages must lie: on the GPU in a group that a user joined by NCCL alone."""
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")


def _raw(tensor: Tensor) -> Tensor:
    """A contiguous tensor's bytes, a view: no backend knows every dtype."""
    return tensor.view(-1).view(torch.uint8)
