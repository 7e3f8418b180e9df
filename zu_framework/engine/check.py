"""`zu check`: all that can be known of a run before a model is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from zu_framework.config import STAGE_GROUPS, Config
from zu_framework.contracts import Progress, no_progress
from zu_framework.engine.locating import located
from zu_framework.engine.opening import open_session
from zu_framework.engine.session import ConfigSource, Session
from zu_framework.models import Sinks, quick_products
from zu_framework.models.places import find_source
from zu_framework.models.weight_files import check_values, read_headers
from zu_framework.problem import Site
from zu_framework.registry.manager import Plugins
from zu_framework.store.chosen_model import load_model
from zu_framework.store.run_folder import check_place

READ_AT_MOST = 4 * 2**30  # bytes of weights that a check reads: seconds


@dataclass(frozen=True)
class Checked:
    """What `check` found: enough to say that a run can start.

    Args:
        config: As it would be run.
        forget: Facts to forget.
        retain: Facts to retain.
        num_layers: Of the model.
        model_type: Of the model, as its config.json names it.
        components: The component of each config group that all stages share.
        stages: The components of each stage, by group.
        notes: What a user should know, a sentence each.
        sinks: Where the model writes attention sinks; None where it was not loaded.
        sites: What would be edited; empty where the model was not loaded.
    """

    config: Config
    forget: int
    retain: int
    num_layers: int
    model_type: str
    components: Mapping[str, str] = field(default_factory=dict)
    stages: Sequence[Mapping[str, str]] = ()
    notes: Sequence[str] = ()
    sinks: Sinks | None = None
    sites: Sequence[Site] = ()


@quick_products()
def check(
    config: ConfigSource,
    overrides: Sequence[str] = (),
    *,
    measure: bool = False,
    plugins: Plugins | None = None,
    progress: Progress = no_progress,
) -> Checked:
    """Check everything that can be checked without loading the model: keys, types, names, files, records, layers.

    The weights of a local checkpoint of up to 4 GiB are read, a tensor at a time; a larger one's when it is loaded.

    Args:
        config: A ready-made name, a YAML file, or a mapping.
        overrides: Such as `["data.forget=8", "seed=1"]`.
        measure: Load the model too, measure its attention sinks, and find the sites; nothing is edited.
        plugins: Who offers components; by default all that are installed.
        progress: `progress(label, done, total)` is told of anything slow.

    Returns:
        What a run of this configuration would work with.

    Raises:
        ZuError: What a run would refuse; it says what to mend.
    """
    session = open_session(config, overrides, plugins=plugins, progress=progress)
    assert session.checkpoint is not None and session.data is not None
    check_place(session.config)
    shared = {"data": session.data, "background": session.background}
    components = {group: chosen.name for group, chosen in shared.items() if chosen is not None}
    return Checked(
        session.config,
        len(session.split.forget),
        len(session.split.retain),
        session.checkpoint.num_layers,
        session.checkpoint.model_type,
        components,
        [{group: stage[group].name for group in STAGE_GROUPS} for stage in session.stages],
        [*session.split.notes, *_weights_read(session.config)],
        *(_measured(session) if measure else ()),
    )


def _measured(session: Session) -> tuple[Sinks, tuple[Site, ...]]:
    """The sinks of the session's model, and the sites that its stages would edit."""
    session = located(replace(session, model=load_model(session.config, session.plugins)))
    assert session.untouched is not None
    sinks = session.untouched.sinks(session.lm)
    sites = {site.module: site for stage in session.stages for site in stage.sites}
    return sinks, tuple(sites.values())


def _weights_read(config: Config) -> list[str]:
    """Read the weights of a small checkpoint; what to say of another."""
    source = find_source(config.model.path, ask_hub=False)  # the hub was asked when the folder was checked
    if not source.is_local or source.gguf is not None:
        return []
    headers = read_headers(Path(source.path))
    size = sum((Path(source.path) / file).stat().st_size for file in {one.file for one in headers.values()})
    if size > READ_AT_MOST:
        return [f"{config.model.path}: {size / 2**30:.0f} GiB of weights, read for NaN when they are loaded"]
    check_values(Path(source.path), headers)
    return []
