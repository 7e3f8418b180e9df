"""Parameters lent to a training loop: whatever happens there, the model is as it was afterwards, to the bit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from zu_framework.problem import Site

if TYPE_CHECKING:
    from zu_framework.models.language_model import LanguageModel


@contextmanager
def lent(lm: LanguageModel, sites: Sequence[Site]) -> Iterator[list[torch.nn.Parameter]]:
    """Lend the parameters of sites to a training loop; put them back bit for bit when the block ends.

    The originals wait on the CPU meanwhile. Gradients, flags and the model's mode are put back as well.

    Args:
        lm: The model.
        sites: Whose parameters ask for gradients meanwhile; no others do.

    Yields:
        The parameters, in the order of the sites.
    """
    parameters = [lm.parameter(site) for site in sites]
    originals = [p.detach().to("cpu", copy=True) for p in parameters]
    flags = [(p, p.requires_grad, p.grad) for p in lm.model.parameters()]
    training = lm.model.training
    try:
        for parameter, _, _ in flags:
            parameter.requires_grad_(False)
        for parameter in parameters:
            parameter.requires_grad_(True)
            parameter.grad = None
        yield parameters
    finally:
        with torch.no_grad():
            for parameter, original in zip(parameters, originals, strict=True):
                parameter.copy_(original)
        for parameter, flag, gradient in flags:
            parameter.requires_grad_(flag)
            parameter.grad = gradient
        lm.model.train(training)


@contextmanager
def altered(lm: LanguageModel, names: Sequence[str]) -> Iterator[list[torch.nn.Parameter]]:
    """Lend parameters by name to code that overwrites them; put them back bit for bit when the block ends.

    Args:
        lm: The model.
        names: As `named_parameters` has them; a tied parameter stands there once.

    Yields:
        The parameters, in the order of `names`, to be written in place without gradients.
    """
    parameters = [lm.model.get_parameter(name) for name in names]
    originals = [p.detach().to("cpu", copy=True) for p in parameters]
    try:
        with torch.no_grad():
            yield parameters
    finally:
        with torch.no_grad():
            for parameter, original in zip(parameters, originals, strict=True):
                parameter.copy_(original)
