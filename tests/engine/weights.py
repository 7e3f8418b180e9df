"""Digests of all weights of a model: two models are the same to the bit where these are equal."""

from __future__ import annotations

from zu_framework import LanguageModel
from zu_framework.store.digests import tensor_hash


def weights(lm: LanguageModel) -> dict[str, str]:
    return {name: tensor_hash(p.detach().reshape(-1)) for name, p in lm.model.named_parameters()}
