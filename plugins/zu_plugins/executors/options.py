"""Options of the executors; no torch here."""

from __future__ import annotations

from dataclasses import dataclass, field

from zu_framework.options import not_negative, positive


@dataclass
class ProcessOptions:
    """Worker processes on this machine."""

    workers: int = field(default=2, metadata={"help": "processes; each holds a model of its own"})
    threads: int = field(
        default=0, metadata={"help": "threads of each; 0: the processor's cores shared out among the workers"}
    )

    def __post_init__(self) -> None:
        positive(self, "workers")
        not_negative(self, "threads")


@dataclass
class RayOptions:
    """A Ray cluster, whose machines see the same folders as this one."""

    address: str = field(
        default="auto",
        metadata={"help": "of the cluster: auto, HOST:PORT, ray://HOST:PORT; local starts one here"},
    )
    cpus: float = field(default=1.0, metadata={"help": "cores that a cell takes"})
    gpus: float = field(default=0.0, metadata={"help": "GPUs that a cell takes; a share of one is possible"})

    def __post_init__(self) -> None:
        positive(self, "cpus")
        not_negative(self, "gpus")
