"""Offers the editors."""

from zu_editors.options import (
    AlphaEditOptions,
    EraseOptions,
    MemitOptions,
    MomentOptions,
    RomeOptions,
    erase_needs,
    rome_needs,
)
from zu_framework import Register, SolverSpec, hookimpl


@hookimpl
def zu_register_solvers(register: Register[SolverSpec]) -> None:
    """Closed forms of the editing literature, and the projection alone."""
    register(
        SolverSpec(
            "rome",
            target="zu_editors.rome:solve",
            summary="rank one a request, the target met exactly at least change on general text (ROME)",
            options=RomeOptions,
            needs=rome_needs,
            group_size=1,
        )
    )
    register(
        SolverSpec(
            "memit",
            target="zu_editors.memit:solve",
            summary="all requests at once by ridge regression under the key moment (MEMIT)",
            options=MemitOptions,
            needs=frozenset({"keys", "key_moment"}),
            laws=frozenset({"objective", "order-free"}),
        )
    )
    register(
        SolverSpec(
            "alphaedit",
            target="zu_editors.alphaedit:solve",
            summary="ridge regression in the null space of background keys, earlier edits protected (AlphaEdit)",
            options=AlphaEditOptions,
            needs=frozenset({"keys", "key_moment"}),
            laws=frozenset({"objective", "order-free"}),
        )
    )
    register(
        SolverSpec(
            "emmet",
            target="zu_editors.emmet:solve",
            summary="all targets met exactly at least change on general text: batched ROME (EMMET)",
            options=MomentOptions,
            needs=frozenset({"keys", "key_moment"}),
            laws=frozenset({"objective", "order-free"}),
        )
    )
    register(
        SolverSpec(
            "leace",
            target="zu_editors.leace:solve",
            summary="erases the sensitive subspace from the site's output, without any target",
            options=EraseOptions,
            needs=erase_needs,
            laws=frozenset({"order-free"}),
        )
    )
