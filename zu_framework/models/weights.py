"""A model's parameters as sites see them: which there are, and each as a matrix."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from zu_framework.errors import ModelError
from zu_framework.models.modules import is_linear, transposed
from zu_framework.models.outline import no_site
from zu_framework.problem import Architecture, Site
from zu_framework.problem.sites import as_matrix


class Weights:
    """The part of a `LanguageModel` that knows its layers and weights."""

    model: Any
    architecture: Architecture

    @property
    def model_type(self) -> str:
        """As the model's config names it."""
        return str(self.model.config.model_type)

    @property
    def num_layers(self) -> int:
        """Decoder layers."""
        return len(self.model.get_submodule(self.architecture.layers))

    def site(self, layer: int) -> Site:
        """Return the site of a layer: its MLP's output projection.

        Args:
            layer: From 0.

        Returns:
            The site.

        Raises:
            ModelError: There is no such layer, or it offers no site; the message names those that do.
        """
        if not 0 <= layer < self.num_layers:
            raise ModelError(
                f"layer {layer} does not exist: this {self.model_type} has layers 0 to {self.num_layers - 1}"
            )
        if layer in self.architecture.refused:
            raise ModelError(no_site(self.architecture.refused[layer], sorted(self.architecture.projections)))
        return Site(
            module=self.architecture.projections[layer],
            layer=layer,
            block=f"{self.architecture.layers}.{layer}",
            residual_stream=not self.architecture.scaled_branch.get(layer, False),
        )

    def weight(self, site: Site) -> Tensor:
        """Return the weight of a site.

        Args:
            site: Of this model.

        Returns:
            W (o, i): a view of the parameter, detached. A vector is seen as a column, more axes as rows (..., i).
        """
        return self.as_matrix(site, self.parameter(site).data)

    def parameter(self, site: Site) -> torch.nn.Parameter:
        """Return the parameter behind a site.

        Args:
            site: Of this model.

        Returns:
            The parameter, as the model stores it.

        Raises:
            ModelError: There is none.
        """
        found = getattr(self.model.get_submodule(site.module), site.parameter, None)
        if not isinstance(found, torch.nn.Parameter):
            raise ModelError(
                f"module {site.module!r} has no parameter {site.parameter!r} of its own: where it is made from others "
                "(pruning, weight norm), make that permanent first (`prune.remove`, `remove_parametrizations`)"
            )
        return found

    def as_matrix(self, site: Site, tensor: Tensor) -> Tensor:
        """View a tensor of the site's parameter's shape as W (o, i) is seen.

        Args:
            site: Of this model.
            tensor: Shaped like the parameter.

        Returns:
            A view, (o, i).
        """
        return as_matrix(tensor, transposed=self.stores_transposed(site))

    def parameter_sites(self) -> list[Site]:
        """A site for each parameter of the model, tied ones once; those of a layer's projections are `site(layer)`."""
        known = {name: self.site(layer) for layer, name in self.architecture.projections.items()}
        found = []
        for full, _ in self.model.named_parameters():
            module, _, parameter = full.rpartition(".")
            if parameter == "weight" and module in known:
                found.append(known[module])
            else:
                found.append(Site(module, -1, "", residual_stream=False, parameter=parameter))
        return found

    def stores_transposed(self, site: Site) -> bool:
        """Return whether the checkpoint stores W as (i, o), as GPT-2's Conv1D does.

        Args:
            site: Of this model.

        Returns:
            True where it does.
        """
        return site.parameter == "weight" and transposed(self.model.get_submodule(site.module))

    def bias(self, site: Site) -> Tensor | None:
        """Return the bias of a site's module.

        Args:
            site: Of this model.

        Returns:
            b (o,), or None.
        """
        bias = getattr(self._projection(site), "bias", None)
        return None if bias is None else bias.data

    def write_weight(self, site: Site, new: Tensor) -> None:
        """Overwrite W in place.

        For the core's writer alone.

        Args:
            site: Of this model.
            new: (o, i), of the weight's own dtype.
        """
        with torch.no_grad():
            self.weight(site).copy_(new)

    def _projection(self, site: Site) -> Any:
        module = self.model.get_submodule(site.module)
        if not is_linear(module):
            raise ModelError(f"module {site.module!r} is a {type(module).__name__}, not a linear map")
        return module
