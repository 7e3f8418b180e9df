"""The models that an audit attacks: the edited one, the untouched one, and a retrained twin where there is one."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from zu_framework.config import Config
from zu_framework.errors import ModelError
from zu_framework.linalg import rounded
from zu_framework.models import LanguageModel
from zu_framework.problem import Site
from zu_framework.registry.manager import Plugins
from zu_framework.store.chosen_model import load_model, load_other
from zu_framework.store.records import EditRecord
from zu_framework.store.run_edit import load_edit


@dataclass(frozen=True)
class Attacked:
    """What is attacked.

    Args:
        edited: The edited model.
        base: The untouched one, None where it is not known.
        twin: A model retrained without the facts, None without one.
        sites: The edited sites, empty where they are not known.
    """

    edited: LanguageModel
    base: LanguageModel | None = None
    twin: LanguageModel | None = None
    sites: tuple[Site, ...] = ()

    def references(self) -> Iterator[tuple[str, LanguageModel]]:
        """Yield name and model of each reference."""
        if self.base is not None:
            yield "untouched", self.base
        if self.twin is not None:
            yield "twin", self.twin


def models_of_run(run: Path, config: Config, base: str | None, plugins: Plugins) -> Attacked:
    """Return the models of a run folder. Untouched and edited model share every weight that the edit left alone.

    Args:
        run: A run folder.
        config: Its config; `model.path` is the untouched model.
        base: Where the untouched model lies, if not there.
        plugins: Who may describe its structure.

    Raises:
        RunFolderError: The run folder holds no edit, or a damaged one.
        ModelError: The untouched model is not the one that the edit was made on.
    """
    record = load_edit(run)
    untouched = load_model(config, plugins) if base is None else load_other(base, config, plugins, key="base")
    if untouched.fingerprint() != record.fingerprint_before:
        raise ModelError(
            f"{base or config.model.path} is not the model that {run} was made on: give the untouched one by --base"
        )
    edited = _edited(untouched, record)
    sites = tuple(one.site for one in record.sites)
    return Attacked(edited, untouched, _twin(config, plugins), sites)


def models_of_checkpoint(config: Config, base: str | None, plugins: Plugins) -> Attacked:
    """Return a model, and the untouched one where it is given; the weights in which they differ are the sites.

    Raises:
        ModelError: A model cannot be loaded, or the two are of different shapes.
    """
    edited = load_model(config, plugins)
    if base is None:
        return Attacked(edited, None, _twin(config, plugins))
    untouched = load_other(base, config, plugins, key="base")
    return Attacked(edited, untouched, _twin(config, plugins), tuple(_differing(edited, untouched)))


def _edited(lm: LanguageModel, record: EditRecord) -> LanguageModel:
    """Return the model with the edit in it. Only the edited weights are copied; the others are shared."""
    touched = {id(lm.parameter(one.site)) for one in record.sites}
    shared = {id(p): p for p in lm.model.parameters() if id(p) not in touched}
    shared |= {id(b): b for b in lm.model.buffers()}
    edited = replace(lm, model=copy.deepcopy(lm.model, dict(shared)))
    for one in record.sites:
        for step in one.steps:
            new, _ = rounded(step, edited.weight(one.site))
            edited.write_weight(one.site, new)
    return edited


def _differing(edited: LanguageModel, untouched: LanguageModel) -> Sequence[Site]:
    found = []
    for ours, theirs in zip(edited.parameter_sites(), untouched.parameter_sites(), strict=False):
        if ours != theirs or edited.weight(ours).shape != untouched.weight(theirs).shape:
            raise ModelError(
                "the model and its base differ in their parts: give the model that it came from by --base"
            )
        if not bool((edited.weight(ours) == untouched.weight(theirs)).all()):
            found.append(ours)
    return [site for site in found if edited.weight(site).ndim == 2 and site.parameter == "weight"]


def _twin(config: Config, plugins: Plugins) -> LanguageModel | None:
    path = config.evaluate.reference
    return None if path is None else load_other(path, config, plugins, key="evaluate.reference")
