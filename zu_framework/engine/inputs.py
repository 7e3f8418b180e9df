"""What a run reads and may write, looked at before any weight is loaded: facts, and outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec

from zu_framework.config import Config
from zu_framework.data import chat_notes
from zu_framework.engine.stage import Stage
from zu_framework.errors import ConfigError, DataError, in_stage
from zu_framework.problem import DataSplit
from zu_framework.registry import Chosen


def read_data(
    config: Config, data: Chosen, stages: Sequence[Stage], declared: frozenset[str] = frozenset()
) -> DataSplit:
    """Return the data set's split, checked against what the stages read of its facts.

    Args:
        config: Its seed decides the draws; of prompts in a chat template a note may be due.
        data: The data set.
        stages: Of the run; none for an evaluation.
        declared: Fields of a user's records that metrics read.

    Raises:
        DataError: A record is broken, nothing is to be forgotten, or a subject is read and not there.
        ConfigError: Facts to retain are read, and there are none.
    """
    more = {"declared": declared} if data.spec.open_fields else {}
    split: DataSplit = data.load()(data.options, config.seed, **more)
    if not split.forget:
        raise DataError(f"data set {data.name!r} yields no fact to forget: raise data.forget")
    for stage in stages:
        stage.check_facts(split.forget, split.retain)
    return replace(split, notes=(*split.notes, *chat_notes(split.forget))) if config.model.chat else split


def check_outputs(config: Config, stages: Sequence[Stage]) -> None:
    """Check that the outputs asked for are possible.

    Raises:
        ConfigError: An adapter is asked for, and peft is missing or an update would not be low-rank.
    """
    if not config.output.adapter:
        return
    if find_spec("peft") is None:
        raise ConfigError("output.adapter needs peft: pip install 'zu_framework[peft]'")
    for stage in stages:
        solver = stage["solver"]
        why = solver.spec.full_rank_under(solver.options)
        if why:
            with in_stage(stage.number):
                raise ConfigError(
                    f"output.adapter: a LoRA adapter holds low-rank updates alone, and solver {solver.name!r} {why}; "
                    "or ask for output.model=true instead"
                )
