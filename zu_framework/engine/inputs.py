"""What a run reads and may write, looked at before any weight is loaded: facts, general and held-out text, outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from itertools import islice

from zu_framework.config import Config
from zu_framework.data import chat_notes
from zu_framework.engine.stage import Stage
from zu_framework.errors import ConfigError, DataError, in_stage
from zu_framework.evaluation import read_texts
from zu_framework.problem import DataSplit
from zu_framework.registry import Chosen

# every tenth document of the background is held out for the metrics that read text, where nothing else serves them
HELD_OUT_EVERY = 10

Documents = Callable[[], Iterable[str]]


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


def read_text(
    config: Config,
    background: Chosen | None,
    split: DataSplit,
    stages: Sequence[Stage],
    metrics: Sequence[Chosen],
) -> tuple[Documents | None, DataSplit]:
    """Return the stream of background documents, and the split with the texts that metrics read.

    These are `evaluate.text`, else the data set's held-out texts, else every tenth background document, which then
    takes no part in the moments.

    Raises:
        ConfigError: General text is read, and the background names no source.
        DataError: A text cannot be read, or there is none.
    """
    documents = opened_text(background, stages)
    limit = config.evaluate.documents
    if config.evaluate.text is not None:
        texts = tuple(islice(read_texts(config.evaluate.text), limit))
        if not texts:
            raise DataError(f"evaluate.text {config.evaluate.text!r} holds no text")
        return documents, replace(split, heldout_texts=texts)
    if split.heldout_texts or not any("texts" in metric.needs for metric in metrics):
        return documents, replace(split, heldout_texts=split.heldout_texts[:limit])
    if documents is None:
        return None, split
    held = islice((text for n, text in enumerate(documents()) if _held_out(n)), limit)
    split = replace(split, heldout_texts=tuple(held))
    return lambda: (text for n, text in enumerate(documents()) if not _held_out(n)), split


def _held_out(number: int) -> bool:
    return number % HELD_OUT_EVERY == HELD_OUT_EVERY - 1


def opened_text(background: Chosen | None, stages: Sequence[Stage]) -> Documents | None:
    """Return a function that streams the background's documents afresh on each call.

    Returns:
        None without a background, and for one that names no source where no stage reads general text.

    Raises:
        ConfigError: It names no source, and a stage reads general text.
        DataError: It holds no document, or the first cannot be read.
    """
    if background is None:
        return None
    source, options = background.load(), background.options
    try:
        first = next(iter(source(options)), None)
    except ConfigError:
        if any(stage.reads_text for stage in stages):
            raise
        return None
    if first is None:
        raise DataError("the background holds no document")
    return lambda: source(options)


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
