"""Which weights an attack on weights takes: the linear maps of the decoder layers, or the edited sites."""

from __future__ import annotations

from collections.abc import Sequence

from zu_framework import LanguageModel, Site


def linear_weights(lm: LanguageModel) -> list[str]:
    """Return the names of all matrices of the decoder layers, as `named_parameters` has them.

    Embeddings and head stay: they are often one tensor, and most quantisers leave them in higher precision.
    """
    inside = f"{lm.architecture.layers}."
    return [
        name
        for name, parameter in lm.model.named_parameters()
        if name.startswith(inside) and name.endswith(".weight") and parameter.ndim == 2
    ]


def site_weights(lm: LanguageModel, sites: Sequence[Site]) -> list[str]:
    """Return the parameter names of the edited sites, each once."""
    return list(dict.fromkeys(f"{site.module}.{site.parameter}" for site in sites))


def stored_transposed(lm: LanguageModel, name: str) -> bool:
    """Return whether a weight is kept as (i, o), by its parameter's name."""
    return lm.stores_transposed(Site(name.rpartition(".")[0], -1, ""))
