"""Offers the solver `ridge-remap`. Imports no torch: this file is read whenever plugins are listed."""

from dataclasses import dataclass, field

from zu_framework import ConfigError, Register, SolverSpec, hookimpl


@dataclass
class RidgeRemapOptions:
    """The solver's options; each is read from the config's group `solver`."""

    ridge: float = field(default=1.0, metadata={"help": "how small the change of the weight is kept"})

    def __post_init__(self) -> None:
        if not self.ridge > 0:
            raise ConfigError(f"ridge must be above 0, got {self.ridge}", option="ridge")


@hookimpl
def zu_register_solvers(register: Register[SolverSpec]) -> None:
    """One solver."""
    register(
        SolverSpec(
            "ridge-remap",
            target="zu_example.ridge_remap:solve",
            summary="moves forget inputs to their targets by the smallest additive change",
            options=RidgeRemapOptions,
            needs=frozenset({"keys"}),
            laws=frozenset({"objective", "order-free"}),
        )
    )
