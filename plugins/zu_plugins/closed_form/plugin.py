"""Offers the closed forms: ZeroUnlearn, and the editors that it is compared with."""

from zu_framework import Prepared, Register, SolverSpec, hookimpl
from zu_plugins.closed_form.editor_options import (
    AlphaEditOptions,
    EraseOptions,
    MemitOptions,
    MomentOptions,
    RomeOptions,
    erase_needs,
    rome_needs,
)
from zu_plugins.closed_form.options import (
    ClosedFormOptions,
    GradientOptions,
    LocalOptions,
    local_needs,
    local_reads_weight,
)

KEYS = frozenset({"keys", "key_moment"})
MINIMISES = frozenset({"objective", "order-free"})
NULL_SPACE_RULE = ("null_threshold", "null_energy", "null_rank", "precision")

KEY_FACTOR = Prepared(
    "zu_plugins.closed_form.factors:key_factor",
    options=("relative_ridge", "precision"),
    reads_weight=False,
)
OUTPUT_FACTOR = Prepared(
    "zu_plugins.closed_form.factors:output_factor",
    options=("background_weight", "ridge", "precision"),
)
LOCAL_FACTOR = Prepared(
    "zu_plugins.closed_form.factors:local_factor",
    options=("background_weight", "ridge", "precision", "space"),
    reads_weight=local_reads_weight,
)
ERASE_FACTOR = Prepared(
    "zu_plugins.closed_form.factors:erase_factor",
    options=("projection", "relative_ridge", "precision"),
)
ALPHAEDIT_SPACE = Prepared(
    "zu_plugins.closed_form.factors:alphaedit_space", options=NULL_SPACE_RULE, reads_weight=False
)
GRADIENT_SPACE = Prepared(
    "zu_plugins.closed_form.factors:gradient_space", options=NULL_SPACE_RULE, reads_weight=False
)


def scales(options: ClosedFormOptions) -> str:
    """Why an update is not low-rank: the slack scales the whole weight."""
    return f"scales the whole weight by {1 + options.slack:g}: set solver.slack to 0" if options.slack else ""


@hookimpl
def zu_register_solvers(register: Register[SolverSpec]) -> None:
    """Offer one solver each."""
    register(
        SolverSpec(
            "zerounlearn",
            target="zu_plugins.closed_form.zerounlearn:solve",
            summary="projected multiplicative remap, the published closed form (arXiv 2605.18879)",
            options=ClosedFormOptions,
            needs=frozenset({"keys", "sensitive", "value_moment"}),
            laws=MINIMISES | {"orthogonality"},
            prepare=OUTPUT_FACTOR,
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
                "retain_keys": "give them (data.retain, or `retain` of zu.unlearn), or set solver.retain_weight to 0",
                "damage": "weigh general text more (a larger solver.background_weight)",
            },
            laws=MINIMISES,
            prepare=LOCAL_FACTOR,
        )
    )
    register(
        SolverSpec(
            "zerounlearn-gd",
            target="zu_plugins.closed_form.gradient:solve",
            summary="additive change inside the null space of background keys; exact, adam or lbfgs",
            options=GradientOptions,
            needs=KEYS | {"sensitive"},
            laws=MINIMISES,
            prepare=GRADIENT_SPACE,
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
            prepare=KEY_FACTOR,
        )
    )
    register(
        SolverSpec(
            "memit",
            target="zu_plugins.closed_form.memit:solve",
            summary="all requests at once by ridge regression under the key moment (MEMIT)",
            options=MemitOptions,
            needs=KEYS,
            laws=MINIMISES,
            prepare=KEY_FACTOR,
        )
    )
    register(
        SolverSpec(
            "alphaedit",
            target="zu_plugins.closed_form.alphaedit:solve",
            summary="ridge regression in the null space of background keys, earlier edits retained (AlphaEdit)",
            options=AlphaEditOptions,
            needs=KEYS,
            laws=MINIMISES,
            prepare=ALPHAEDIT_SPACE,
        )
    )
    register(
        SolverSpec(
            "emmet",
            target="zu_plugins.closed_form.emmet:solve",
            summary="all targets met exactly at least change on general text: batched ROME (EMMET)",
            options=MomentOptions,
            needs=KEYS,
            laws=MINIMISES,
            prepare=KEY_FACTOR,
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
            prepare=ERASE_FACTOR,
        )
    )
