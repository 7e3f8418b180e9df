"""Opening a session: all that can be checked is, then the run folder is reserved and the model loaded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zu_framework.config import load_config
from zu_framework.contracts import Progress, no_progress
from zu_framework.engine.checkpoint import carried_edits, check_checkpoint, load_model
from zu_framework.engine.inputs import check_outputs, read_data
from zu_framework.engine.processes import joined
from zu_framework.engine.session import LOG, ConfigSource, Session, resolve
from zu_framework.engine.text import open_text, write_text
from zu_framework.registry import Plugins, installed_plugins
from zu_framework.registry.observers import Observers
from zu_framework.store.intermediates import Intermediates
from zu_framework.store.run_folder import run_folder


def read_inputs(session: Session) -> None:
    """Import what was chosen, and read the data and text of a session.

    Raises:
        ZuError: Whatever can be known of an impossible run before a weight is loaded, but for its model.
    """
    assert session.data is not None
    session.import_all()
    check_outputs(session.config, session.stages)
    declared = session.plugins.registry.record_fields
    session.split = read_data(session.config, session.data, session.stages, declared)
    open_text(session)


def open_session(
    config: ConfigSource,
    overrides: Sequence[str] = (),
    *,
    plugins: Plugins | None = None,
    progress: Progress = no_progress,
) -> Session:
    """Return the session of a run, all checked that can be without loading weights.

    Raises:
        ZuError: It says what to mend; nothing was written.
    """
    plugins = plugins or installed_plugins()
    session = resolve(load_config(config, overrides, plugins=plugins), plugins)
    session.report_to(progress)
    read_inputs(session)
    session.checkpoint = check_checkpoint(session.config)
    for stage in session.stages:
        stage.check_model(session.checkpoint)
    return session


@contextmanager
def open_run(
    config: ConfigSource, overrides: Sequence[str], plugins: Plugins | None, progress: Progress
) -> Iterator[Session]:
    """Yield the session of a run: its folder reserved, its observers called in, its model loaded, its sites located.

    Where the block ends the run folder appears; on any error nothing is left. Started by torchrun, several processes
    join here.
    """
    with joined() as processes:
        session = open_session(config, overrides, plugins=plugins, progress=progress)
        session.processes = processes
        with _place(session):
            journal, split = session.journal, session.split
            counts = {"forget": len(split.forget), "retain": len(split.retain)}
            journal.record(
                "start", config=session.config.name, seed=session.config.seed, **counts, notes=split.notes
            )
            if processes.first:
                session.observers.begin(session.config)
            else:
                session.observers = Observers()
            with journal.phase("load"):
                session.model = load_model(session.config, session.plugins)
            write_text(session)
            session.ledger, session.earlier = carried_edits(session.config)
            if session.ledger.entries:
                journal.record("ledger", edits=[entry.id for entry in session.ledger.entries])
            session.locate()  # a wrong layer is refused before anything slow
            yield session
        processes.tell("done")  # no process ends before the run folder is there


@contextmanager
def _place(session: Session) -> Iterator[None]:
    """Reserve the run folder: the first process writes it, and tells the others what it will be called."""
    if not session.processes.first:
        session.folder = Path(session.processes.tell())
        yield
        return
    with run_folder(session.config) as place:
        session.partial, session.folder = place
        with session.journal.logged(session.partial / LOG):
            session.processes.tell(str(session.folder))
            if session.config.output.intermediates:
                session.intermediates = Intermediates(session.partial)
            yield
    session.folder, session.moved = place.final, place.note


def finish(session: Session, result: Any) -> None:
    """Tell the observers of a finished run; what goes wrong with them is appended to its log.

    Args:
        session: Its run folder is in place.
        result: What the observers see.
    """
    if session.partial is None:
        return
    with session.journal.logged(session.folder / LOG, again=True):
        session.observers.finished(result)
