"""A run: from a configuration to a run folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from zu_framework.config import Config
from zu_framework.contracts import Progress, no_progress
from zu_framework.distribution import Processes, joined
from zu_framework.engine.locating import located
from zu_framework.engine.loop import make_edit
from zu_framework.engine.measuring import measured_edit
from zu_framework.engine.opening import open_session
from zu_framework.engine.saving import RunResult, save_run
from zu_framework.engine.session import Session
from zu_framework.models import quick_products
from zu_framework.registry import Plugins
from zu_framework.registry.observers import Observers
from zu_framework.store.chosen_model import carried_edits, load_model
from zu_framework.store.intermediates import Intermediates
from zu_framework.store.journal import LOG
from zu_framework.store.run_folder import RunPlace, run_folder

__all__ = ["RunResult", "run"]


@quick_products()
def run(
    config: str | Path | Mapping[str, Any] | Config,
    overrides: Sequence[str] = (),
    *,
    plugins: Plugins | None = None,
    progress: Progress = no_progress,
) -> RunResult:
    """Forget what a configuration says, and leave a run folder: load, measure, edit, measure, save.

    Started by torchrun, several processes make one run: the first measures, solves and writes, all divide the text and
    the requests, and all hold the edited model at the end; measurements are in the first one's result alone.

    Args:
        config: A ready-made name, a YAML file, or a mapping.
        overrides: Such as `["data.forget=8", "seed=1"]`.
        plugins: Who offers components; by default all that are installed.
        progress: `progress(label, done, total)` is told of anything slow.

    Returns:
        What was measured, the edit (still in the model, with its exact undo), and what could not be saved.

    Raises:
        ZuError: It says what to mend; no run folder is left behind then.
    """
    with joined() as processes:
        session = open_session(config, overrides, plugins=plugins, progress=progress)
        with _placed(session, processes) as (session, place):
            session = located(_loaded(session))  # a wrong layer is refused before anything slow
            result = save_run(session, measured_edit(session, make_edit))
        processes.tell("done")  # no process ends before the run folder is there
    notes = [*result.notes, *([place.note] if place.note else [])]
    result = replace(result, folder=place.final, notes=tuple(notes))
    if session.partial is not None:  # what goes wrong with observers is appended to the log
        with session.journal.logged(place.final / LOG, again=True):
            session.observers.finished(result)
    return replace(result, notes=tuple(dict.fromkeys((*notes, *session.observers.notes))))


@contextmanager
def _placed(session: Session, processes: Processes) -> Iterator[tuple[Session, RunPlace]]:
    """Reserve the run folder, and call in those who watch the run.

    The first process writes the folder, and tells the others what it will be called.
    """
    session = replace(session, processes=processes)
    if not processes.first:
        told = Path(processes.tell())
        yield replace(session, folder=told, observers=Observers()), RunPlace(told, told)
        return
    with ExitStack() as stack:
        place = stack.enter_context(run_folder(session.config))
        stack.enter_context(session.journal.logged(place.partial / LOG))
        processes.tell(str(place.final))
        kept = Intermediates(place.partial) if session.config.output.intermediates else Intermediates()
        session = replace(session, partial=place.partial, folder=place.final, intermediates=kept)
        yield session, place


def _loaded(session: Session) -> Session:
    """The session with its model, and the edits that it carries."""
    config, journal, split = session.config, session.journal, session.split
    counts = {"forget": len(split.forget), "retain": len(split.retain)}
    journal.record("start", config=config.name, seed=config.seed, **counts, notes=split.notes)
    session.observers.begin(config)
    with journal.phase("load"):
        model = load_model(config, session.plugins)
    ledger, earlier = carried_edits(config)
    if ledger.entries:
        journal.record("ledger", edits=[entry.id for entry in ledger.entries])
    return replace(session, model=model, ledger=ledger, earlier=earlier)
