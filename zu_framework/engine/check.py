"""`zu check`: all that can be known of a run before a weight is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from zu_framework.config import STAGE_GROUPS, Config
from zu_framework.engine.session import ConfigSource, open_session
from zu_framework.registry.manager import Plugins


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
    """

    config: Config
    forget: int
    retain: int
    num_layers: int
    model_type: str
    components: Mapping[str, str] = field(default_factory=dict)
    stages: Sequence[Mapping[str, str]] = ()
    notes: Sequence[str] = ()


def check(config: ConfigSource, overrides: Sequence[str] = (), *, plugins: Plugins | None = None) -> Checked:
    """Check everything that can be checked without loading weights: keys, types, names, files, records, layers.

    Args:
        config: A ready-made name, a YAML file, or a mapping.
        overrides: Such as `["data.forget=8", "seed=1"]`.
        plugins: Who offers components; by default all that are installed.

    Returns:
        What a run of this configuration would work with.

    Raises:
        ZuError: What a run would refuse; it says what to mend.
    """
    session = open_session(config, overrides, plugins=plugins)
    assert session.checkpoint is not None and session.data is not None
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
        session.split.notes,
    )
