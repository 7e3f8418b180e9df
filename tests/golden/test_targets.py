"""Target states against the recorded ones: every z and init of every manifest, to 1e-5 relative."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from zu_framework import LanguageModel, ReadPlan, Request, RunContext
from zu_framework.models import answer_ids
from zu_framework.states.batches import optimise
from zu_plugins.collectors.collectors import SubjectLast
from zu_plugins.collectors.options import ContextOptions
from zu_plugins.targets.options import NeutralOptions

Golden = Callable[[str], tuple[Any, dict[str, Tensor]]]

MANIFESTS = ["zu_B", "zu_E_optimised_Vu", "gd_E_optimised_Vu", "memit_word", "alpha_word", "rome_word"]


def requests_of(manifest: Any) -> list[Request]:
    """The recorded requests, the subject put into the prompt."""
    found = []
    for entry in manifest["requests"]:
        before, _, after = entry["prompt"].partition("{}")
        answer = entry["target_true"]["str"]
        found.append(Request(before + entry["subject"] + after, answer, entry["subject"], len(before)))
    return found


def plan_of(lm: LanguageModel, manifest: Any) -> ReadPlan:
    """The recorded contexts around the recorded requests."""
    options = ContextOptions(contexts="fixed", templates=manifest["context_templates"][1])
    return SubjectLast(options, RunContext()).plan(lm, requests_of(manifest))


@pytest.fixture
def lm(shared: Path) -> Iterator[LanguageModel]:
    yield LanguageModel.from_pretrained(str(shared / "models" / "tiny-llama"))


def relative(ours: Tensor, theirs: Tensor) -> float:
    return float((ours.double() - theirs.double()).norm() / theirs.double().norm())


@pytest.mark.parametrize("name", MANIFESTS)
def test_target_states(name: str, lm: LanguageModel, golden: Golden) -> None:
    manifest, tensors = golden(name)
    plan = plan_of(lm, manifest)
    site_one = lm.site(1)
    groups: dict[str, list[tuple[str, Any]]] = {}
    for key, entry in manifest["z"].items():
        groups.setdefault(entry["module"], []).append((key, entry))
    # those at layer 2 of kind "true" were taken after layer 1 was written
    for module in sorted(groups, key=lambda m: m == "model.layers.2.mlp.down_proj"):
        if module == "model.layers.2.mlp.down_proj":
            lm.write_weight(site_one, tensors["layer1/weight_after"])
        entries = groups[module]
        assert [entry["request"] for _, entry in entries] == list(range(6))
        texts = [answer_ids(lm.tokenizer, entry["text"]) for _, entry in entries]
        found = optimise(lm, module, plan, texts, NeutralOptions(), rows_per_forward=64)
        for column, (key, _) in enumerate(entries):
            assert relative(found.init[:, column], tensors[f"{key}/init"]) < 1e-5, key
            assert relative(found.states[:, column], tensors[f"{key}/z"]) < 1e-5, (key, found.evaluations)
