"""`zu eval`: any model on a named suite, beside the model that it came from; nothing is edited."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from zu_framework.config import Config, load_config
from zu_framework.contracts import Progress, no_progress
from zu_framework.engine.measuring import Measured, measured, settled
from zu_framework.engine.opening import check_options, read_inputs
from zu_framework.engine.session import Session, resolve
from zu_framework.errors import ConfigError, DataError, ExitCode, unknown_name
from zu_framework.files import write_json
from zu_framework.models import AnswerSpace, check_folder, quick_products
from zu_framework.problem import Measurement
from zu_framework.problem.reports import finite, plain_measurements
from zu_framework.registry.manager import Plugins, installed_plugins
from zu_framework.store.about import versions
from zu_framework.store.chosen_model import check_reference, load_model
from zu_framework.store.journal import LOG
from zu_framework.store.run_folder import run_folder

__all__ = ["Evaluation", "evaluate", "suites"]

# side -> the argument that its model is given by, for messages
GIVEN_BY = {"before": "base", "after": "model"}


@dataclass(frozen=True)
class Evaluation:
    """A finished evaluation.

    Args:
        folder: Where it lies.
        config: The suite on this model, as resolved.
        suite: Its name or file.
        before: Measurements of the base model by metric; empty without one.
        after: Measurements of the model by metric.
        models: Path, fingerprint and dtype of each side.
        notes: What was left out, and why.
        better: The direction of each metric that a user who forgets wants.
        seconds: Of each phase.
        cost: What measuring took, by side.
        answers: How the answer follows each prompt, settled on the first model; empty where one space always does.
    """

    folder: Path
    config: Config
    suite: str
    before: Mapping[str, Measurement]
    after: Mapping[str, Measurement]
    models: Mapping[str, Mapping[str, str]]
    notes: Sequence[str] = ()
    better: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    cost: Mapping[str, Any] = field(default_factory=dict)
    answers: Sequence[AnswerSpace] = ()

    @property
    def exit_code(self) -> ExitCode:
        """What `zu eval` exits with."""
        return ExitCode.DONE


def suites() -> dict[str, Path]:
    """Return the suites inside the package, by name."""
    folder = Path(str(files("zu_framework") / "suites"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


@quick_products()
def evaluate(
    model: str,
    suite: str | Path,
    overrides: Sequence[str] = (),
    *,
    base: str | None = None,
    plugins: Plugins | None = None,
    progress: Progress = no_progress,
) -> Evaluation:
    """Measure any model on a suite, and the model that it came from beside it; nothing is edited.

    Args:
        model: A checkpoint folder, a hub id, or an embedded model.
        suite: A name (`suites`) or a YAML file.
        overrides: Such as `["data.path=facts.jsonl"]`.
        base: The model that it came from.
        plugins: Who offers components; by default all that are installed.
        progress: `progress(label, done, total)` is told of anything slow.

    Returns:
        What was measured, and the folder that holds it.

    Raises:
        ZuError: It says what to mend, before a weight is loaded where that can be known; no folder is left then.
        ConfigError: The suite has no metric.
        DataError: The data hold nothing that any metric of the suite measures.
    """
    plugins = plugins or installed_plugins()
    config, notes = suite_config(model, suite, overrides, plugins)
    if not config.evaluate.metrics:
        raise ConfigError(f"suite {suite!s}: evaluate.metrics is empty: name at least one metric")
    session = resolve(config, plugins, ("data",), progress=progress)
    paths = {"before": base, "after": model} if base is not None else {"after": model}
    check_reference(config)
    checkpoints = [
        check_folder(
            path,
            trust_remote_code=config.model.trust_remote_code,
            revision=_revision(config, path),
            dtype=config.model.dtype,
            key=GIVEN_BY[side],
        )
        for side, path in paths.items()
    ]
    session = read_inputs(session)
    for checkpoint in checkpoints:
        check_options(session, checkpoint)
    sides: dict[str, Measured] = {}
    about: dict[str, dict[str, str]] = {}
    journal = session.journal
    with run_folder(config) as place, journal.logged(place.partial / LOG):
        journal.record("start", suite=str(suite), models=paths, forget=len(session.split.forget), notes=notes)
        for side, path in paths.items():
            session, sides[side], about[side] = _one_model(session, path, GIVEN_BY[side])
        if not any(found.values for found in sides.values()):
            raise DataError(
                f"suite {suite!s}: the data hold nothing that any of its metrics measures: "
                f"{', '.join(config.evaluate.metrics)}"
            )
        result = Evaluation(
            folder=place.final,
            config=config,
            suite=str(suite),
            before=sides["before"].values if base is not None else {},
            after=sides["after"].values,
            models=about,
            notes=notes,
            better={metric.name: metric.spec.better for metric in session.metrics},
            seconds=dict(journal.seconds),
            cost={side: found.cost for side, found in sides.items()},
            answers=session.answers,
        )
        _write(place.partial, result)
        journal.record("done", seconds=journal.seconds)
    moved = [place.note] if place.note else []
    return replace(result, folder=place.final, notes=[*result.notes, *moved])


def suite_config(
    model: str, suite: str | Path, overrides: Sequence[str], plugins: Plugins
) -> tuple[Config, list[str]]:
    """Return the config of a suite on a model, and notes: which metrics were left out, since they want a reference.

    Raises:
        ConfigError: It holds what belongs to a run, or names the model.
        UnknownName: No such suite.
    """
    known = suites()
    path = known.get(str(suite), Path(suite))
    if not path.is_file():
        raise unknown_name("suite", str(suite), known, f"suites: {', '.join(known)}; or give a YAML file")
    if any(o.partition("=")[0].strip() in ("model", "model.path") for o in overrides):
        raise ConfigError("zu eval takes the model as its first argument, not as model.path")
    config = load_config(path, [*overrides, f"model.path={_quoted(model)}"], plugins=plugins)
    extra = sorted(config.stages[0].components) or ["then"] * (len(config.stages) > 1)
    if extra:
        raise ConfigError(
            f"{config.origin(extra[0]) or suite}: group {extra[0]!r} belongs to a run: zu eval reads data, background, "
            "model, evaluate and output"
        )
    chosen_by_user = any(o.partition("=")[0].strip() == "evaluate.metrics" for o in overrides)
    notes: list[str] = []
    if config.evaluate.reference is None and not chosen_by_user:
        wanting = [name for name in config.evaluate.metrics if _wants_reference(name, plugins)]
        if wanting:
            kept = [name for name in config.evaluate.metrics if name not in wanting]
            options = {n: o for n, o in config.evaluate.options.items() if n not in wanting}
            config = replace(
                config,
                evaluate=replace(config.evaluate, metrics=kept, options=options),
                tree={
                    **config.tree,
                    "evaluate": {**config.tree["evaluate"], "metrics": kept, "options": options},
                },
            )
            notes.append(
                f"not measured: {', '.join(wanting)}: they compare with a model that was retrained without the forget "
                "facts; give it by evaluate.reference=FOLDER"
            )
    return replace(config, name=f"eval-{config.name}"), notes


def _quoted(text: str) -> str:
    """As YAML text: a path may hold a colon or look like a number."""
    return "'" + text.replace("'", "''") + "'"


def _wants_reference(metric: str, plugins: Plugins) -> bool:
    spec = plugins.registry.get("metric", metric).spec
    return "reference" in spec.needs_of(spec.options())


def _revision(config: Config, path: str) -> str | None:
    """Return the revision, which names a commit of the model's own repository."""
    return config.model.revision if path == config.model.path else None


def _one_model(session: Session, path: str, key: str) -> tuple[Session, Measured, dict[str, str]]:
    """Measure one model, loaded here and let go of at the end; the session knows how answers follow from then on."""
    config = session.config
    own = replace(config, model=replace(config.model, path=path, revision=_revision(config, path)))
    with session.journal.phase("load"):
        lm = load_model(own, session.plugins, key=key)
        about = {"path": path, "fingerprint": lm.fingerprint(), "dtype": str(lm.dtype).removeprefix("torch.")}
    session, scorer = settled(replace(session, model=lm))
    return replace(session, model=None), measured(session, scorer), about


def _write(folder: Path, result: Evaluation) -> None:
    """Write config.yaml, metrics.json and metrics.csv."""
    model, suite = (json.dumps(said) for said in (result.models["after"]["path"], result.suite))
    command = f"# zu eval {model} --suite {suite}, as resolved\n"
    (folder / "config.yaml").write_text(command + result.config.to_yaml(), encoding="utf-8")
    write_json(
        folder / "metrics.json",
        {
            "suite": result.suite,
            "models": dict(result.models),
            "before": plain_measurements(result.before),
            "after": plain_measurements(result.after),
            "cost": dict(result.cost),
            "seconds": dict(result.seconds),
            "notes": list(result.notes),
            "answers": [finite(asdict(one)) for one in result.answers],
            "text_label": result.config.evaluate.text_label,
            "versions": versions(),
        },
    )
    with (folder / "metrics.csv").open("w", encoding="utf-8", newline="") as file:
        columns = [name for name in Measurement.__dataclass_fields__ if name != "definition"]
        table = csv.DictWriter(file, ["metric", "model", *columns, "better", "definition"])
        table.writeheader()
        for side, measurements in (("before", result.before), ("after", result.after)):
            for name, one in measurements.items():
                row = {"metric": name, "model": result.models[side]["path"], **finite(asdict(one))}
                table.writerow({**row, "better": result.better.get(name.partition("/")[0], "")})
