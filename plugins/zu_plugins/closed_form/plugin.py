"""Offers the closed forms: ZeroUnlearn, and the editors that it is compared with."""

from zu_framework import Register, SolverSpec, hookimpl
from zu_plugins.closed_form.editor_options import (
    AlphaEditOptions,
    EraseOptions,
    MemitOptions,
    MomentOptions,
    RomeOptions,
    erase_needs,
    rome_needs,
)
from zu_plugins.closed_form.options import ClosedFormOptions, GradientOptions, LocalOptions, local_needs


def scales(options: ClosedFormOptions) -> str:
    """Why an update is not low-rank: the slack scales the whole weight."""
    return f"scales the whole weight by {1 + options.slack:g}: set solver.slack to 0" if options.slack else ""


@hookimpl
def zu_register_solvers(register: Register[SolverSpec]) -> None:
    """One solver each."""
    register(
        SolverSpec(
            "zerounlearn",
            target="zu_plugins.closed_form.zerounlearn:solve",
            summary="projected multiplicative remap, the published closed form (arXiv 2605.18879)",
            options=ClosedFormOptions,
            needs=frozenset({"keys", "sensitive", "value_moment"}),
            laws=frozenset({"objective", "order-free", "orthogonality"}),
            full_rank=scales,
        )
    )
    register(
        SolverSpec(
            "zerounlearn-local",
            target="zu_plugins.closed_form.local:solve",
            summary="closed-form remap whose zero term acts on forget inputs alone",
            options=LocalOptions,
            needs=local_needs,
            remedies={
                "retain_keys": "give them (data.retain, or `retain` of zu.unlearn), or set its protect_weight to 0"
            },
            laws=frozenset({"objective", "order-free"}),
        )
    )
    register(
        SolverSpec(
            "zerounlearn-gd",
            target="zu_plugins.closed_form.gradient:solve",
            summary="additive change inside the null space of background keys; exact, adam or lbfgs",
            options=GradientOptions,
            needs=frozenset({"keys", "sensitive", "key_moment"}),
            laws=frozenset({"objective", "order-free"}),
        )
    )
    register(
        SolverSpec(
            "rome",
            target="zu_plugins.closed_form.rome:solve",
            summary="rank one a request, the target met exactly at least change on general text (ROME)",
            options=RomeOptions,
            needs=rome_needs,
            group_size=1,
        )
    )
    register(
        SolverSpec(
            "memit",
            target="zu_plugins.closed_form.memit:solve",
            summary="all requests at once by ridge regression under the key moment (MEMIT)",
            options=MemitOptions,
            needs=frozenset({"keys", "key_moment"}),
            laws=frozenset({"objective", "order-free"}),
        )
    )
    register(
        SolverSpec(
            "alphaedit",
            target="zu_plugins.closed_form.alphaedit:solve",
            summary="ridge regression in the null space of background keys, earlier edits protected (AlphaEdit)",
            options=AlphaEditOptions,
            needs=frozenset({"keys", "key_moment"}),
            laws=frozenset({"objective", "order-free"}),
        )
    )
    register(
        SolverSpec(
            "emmet",
            target="zu_plugins.closed_form.emmet:solve",
            summary="all targets met exactly at least change on general text: batched ROME (EMMET)",
            options=MomentOptions,
            needs=frozenset({"keys", "key_moment"}),
            laws=frozenset({"objective", "order-free"}),
        )
    )
    register(
        SolverSpec(
            "leace",
            target="zu_plugins.closed_form.leace:solve",
            summary="erases the sensitive subspace from the site's output, without any target",
            options=EraseOptions,
            needs=erase_needs,
            laws=frozenset({"order-free"}),
        )
    )
