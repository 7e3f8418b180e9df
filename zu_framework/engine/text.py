"""General text of a run, and what of it is held out: read before the model is loaded, or written by the model."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from itertools import islice
from typing import TYPE_CHECKING, cast

from zu_framework.contracts import Remembered
from zu_framework.engine.components import default_background
from zu_framework.errors import DataError, NoSource
from zu_framework.evaluation import read_texts
from zu_framework.specs import BackgroundSpec
from zu_framework.store.sharing import shared_results

if TYPE_CHECKING:
    from zu_framework.engine.session import Session

# every tenth document of the background is held out for the metrics that read text, where nothing else serves them
HELD_OUT_EVERY = 10

Documents = Callable[[], Iterable[str]]


def open_text(session: Session) -> None:
    """Open the stream of background documents, and find the texts that metrics read.

    These are `evaluate.text`, else the data set's held-out texts, else every tenth background document, which then
    takes no part in the moments. Where general text is read and none is given, the background that serves by default
    takes its place. What the model must write waits for it (`write_text`).

    Raises:
        ConfigError: General text is read, the background names no source, and none serves by default.
        DataError: A text cannot be read, or there is none.
    """
    evaluate = session.config.evaluate
    if evaluate.text is not None:
        texts = tuple(islice(read_texts(evaluate.text), evaluate.documents))
        if not texts:
            raise DataError(f"evaluate.text {evaluate.text!r} holds no text")
        session.split = replace(session.split, heldout_texts=texts)
    documents = _opened(session)
    if documents is not None:
        _held_out(session, documents)


def write_text(session: Session) -> None:
    """Let the model write what serves as general text, where that is the background; kept in the cache, by model."""
    background = session.background
    if background is None or "model" not in background.needs or session.documents is not None:
        return
    source, lm = background.load(), session.lm

    def depends_on() -> dict[str, object]:
        return {
            "source": [background.registered.plugin, background.registered.version, background.name],
            "options": asdict(background.options),
            "weights": lm.state_digest(),
            "tokenizer": lm.tokenizer_fingerprint(),
        }

    def compute() -> Remembered:
        texts = [text for text in source(background.options, lm=lm) if text.strip()]
        return Remembered({}, {"texts": texts})

    with session.journal.phase("text"):
        texts = shared_results(session.journal)("text", depends_on, compute).facts["texts"]
    if not texts:
        raise DataError(
            f"background {background.name!r} wrote no text: change its options, or choose another background.name"
        )
    _held_out(session, lambda: iter(texts))


def _opened(session: Session) -> Documents | None:
    """The background's documents; None where there is none, and where the model has yet to write them."""
    read = any(stage.reads_text for stage in session.stages)
    background = session.background
    if background is not None and "model" not in background.needs:
        source, options = background.load(), background.options
        try:
            first = next(iter(source(options)), None)
        except NoSource:  # no fault where no text is read, or something else serves
            if read and default_background(session.plugins) is None:
                raise
        else:
            if first is None:
                raise DataError("the background holds no document")
            return lambda: source(options)
        background = None
    metrics = any("texts" in metric.needs for metric in session.metrics) and not session.split.heldout_texts
    if background is None and session.stages and (read or metrics):
        background = default_background(session.plugins)
        if background is not None:
            note = cast(BackgroundSpec, background.spec).serves_by_default.format(
                **asdict(background.options)
            )
            session.split = replace(session.split, notes=(*session.split.notes, note))
    session.background = background
    return None


def _held_out(session: Session, documents: Documents) -> None:
    """Part what is held out from what the moments are taken of."""
    limit, split = session.config.evaluate.documents, session.split
    if split.heldout_texts or not any("texts" in metric.needs for metric in session.metrics):
        session.documents = documents
        session.split = replace(split, heldout_texts=split.heldout_texts[:limit])
        return
    held = islice((text for n, text in enumerate(documents()) if _is_held(n)), limit)
    session.split = replace(split, heldout_texts=tuple(held))
    session.documents = lambda: (text for n, text in enumerate(documents()) if not _is_held(n))


def _is_held(number: int) -> bool:
    return number % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
