"""Offers the ZeroUnlearn solvers."""

from zu_framework import Register, SolverSpec, hookimpl
from zu_zerounlearn.options import ClosedFormOptions, GradientOptions, LocalOptions, local_needs


@hookimpl
def zu_register_solvers(register: Register[SolverSpec]) -> None:
    """Three solvers of one objective: zero, target, utility."""
    register(
        SolverSpec(
            "zerounlearn",
            target="zu_zerounlearn.closed_form:solve",
            summary="projected multiplicative remap, the published closed form (arXiv 2605.18879)",
            options=ClosedFormOptions,
            needs=frozenset({"keys", "sensitive", "value_moment"}),
            laws=frozenset({"objective", "order-free", "orthogonality"}),
        )
    )
    register(
        SolverSpec(
            "zerounlearn-local",
            target="zu_zerounlearn.local:solve",
            summary="closed-form remap whose zero term acts on forget inputs alone",
            options=LocalOptions,
            needs=local_needs,
            laws=frozenset({"objective", "order-free"}),
        )
    )
    register(
        SolverSpec(
            "zerounlearn-gd",
            target="zu_zerounlearn.gradient:solve",
            summary="additive change inside the null space of background keys; exact, adam or lbfgs",
            options=GradientOptions,
            needs=frozenset({"keys", "sensitive", "key_moment"}),
            laws=frozenset({"objective", "order-free"}),
        )
    )
