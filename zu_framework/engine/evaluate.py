"""`zu eval`: any model on a named suite, beside the model that it came from; nothing is edited."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from zu_framework.config import Config, load_config
from zu_framework.engine.edit import versions
from zu_framework.engine.loop import Progress, no_progress
from zu_framework.engine.results import finite, plain_measurements
from zu_framework.engine.run import (
    check_reference,
    load_data,
    load_model,
    measured,
    reference_of,
    scorer_of,
    texts_of,
)
from zu_framework.engine.stage import Parts, resolve
from zu_framework.errors import ConfigError, DataError, unknown_name
from zu_framework.evaluation import Scorer
from zu_framework.files import write_json
from zu_framework.models import check_folder
from zu_framework.problem import DataSplit, Measurement
from zu_framework.registry.manager import Plugins, installed_plugins
from zu_framework.store.journal import Journal
from zu_framework.store.run_folder import run_folder

__all__ = ["Evaluation", "evaluate", "suites"]


@dataclass(frozen=True)
class Evaluation:
    """A finished evaluation. before: of the base model, empty without one; after: of the model; by metric.

    notes: what was left out, and why. models: path and fingerprint of each side. cost: as in a run.
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


def suites() -> dict[str, Path]:
    """The suites inside the package, by name."""
    folder = Path(str(files("zu_framework") / "suites"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def evaluate(
    model: str,
    suite: str | Path,
    overrides: Sequence[str] = (),
    *,
    base: str | None = None,
    plugins: Plugins | None = None,
    progress: Progress = no_progress,
) -> Evaluation:
    """Measure a model, and `base` beside it, by a suite: a name (`suites`) or a YAML file; leaves a folder.

    model, base: a checkpoint folder, a hub id, or an embedded model. overrides: `["data.path=...", ...]`. All that can
    be checked without weights is checked first. Raises a `ZuError` that says what to mend; then no folder is left.
    """
    plugins = plugins or installed_plugins()
    config, notes = suite_config(model, suite, overrides, plugins)
    parts = resolve(config, plugins, ("data",))
    paths = {"before": base, "after": model} if base is not None else {"after": model}
    split = _checked(config, parts, list(paths.values()))
    found: dict[str, dict[str, Measurement]] = {}
    about: dict[str, dict[str, str]] = {}
    with run_folder(config) as (partial, final), (partial / "log.jsonl").open("w", encoding="utf-8") as log:
        journal = Journal(log)
        journal.record("start", suite=str(suite), models=paths, forget=len(split.forget), notes=notes)
        reference = reference_of(config, plugins, progress)
        for side, path in paths.items():
            found[side], about[side] = _one_model(
                path, config, parts, split, plugins, progress, journal, reference
            )
        if not any(found.values()):
            raise DataError(
                f"suite {suite!s}: the data hold nothing that any of its metrics measures: "
                f"{', '.join(config.evaluate.metrics)}"
            )
        costs = [event["cost"] for event in journal.events if event["event"] == "measured"]
        result = Evaluation(
            folder=final,
            config=config,
            suite=str(suite),
            before=found.get("before", {}),
            after=found["after"],
            models=about,
            notes=notes,
            better={metric.spec.name: metric.spec.better for metric in parts.metrics},
            seconds=dict(journal.seconds),
            cost=dict(zip(paths, costs, strict=True)),
        )
        _write(partial, result)
        journal.record("done", seconds=journal.seconds)
    return result


def suite_config(
    model: str, suite: str | Path, overrides: Sequence[str], plugins: Plugins
) -> tuple[Config, list[str]]:
    """The config of a suite on a model, and notes: which metrics were left out, since they want a reference.

    Raises `ConfigError` or `UnknownName`.
    """
    known = suites()
    path = known.get(str(suite), Path(suite))
    if not path.is_file():
        raise unknown_name("suite", str(suite), known, f"suites: {', '.join(known)}; or give a YAML file")
    if any(o.partition("=")[0].strip() in ("model", "model.path") for o in overrides):
        raise ConfigError("zu eval takes the model as its first argument, not as model.path")
    config = load_config(path, [*overrides, f"model.path={_quoted(model)}"])
    extra = sorted(config.stages[0].components) or ["then"] * (len(config.stages) > 1)
    if extra:
        raise ConfigError(
            f"{config.origin(extra[0]) or suite}: group {extra[0]!r} belongs to a run: zu eval reads data, background, "
            "model, evaluate and output"
        )
    chosen_by_user = any(o.partition("=")[0].strip() == "evaluate.metrics" for o in overrides)
    notes: list[str] = []
    if config.evaluate.reference is None and not chosen_by_user:
        wanting = [
            name
            for name in config.evaluate.metrics
            if "reference" in getattr(plugins.registry.get("metric", name).spec, "needs", ())
        ]
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
    return replace(config, name=f"eval-{path.stem}"), notes


def _quoted(text: str) -> str:
    """As YAML text: a path may hold a colon or look like a number."""
    return "'" + text.replace("'", "''") + "'"


def _checked(config: Config, parts: Parts, paths: Sequence[str]) -> DataSplit:
    """Everything that can be checked without weights; the data, with the texts for perplexity."""
    parts.metric_functions()
    check_reference(config)
    for path in paths:
        check_folder(path, trust_remote_code=config.model.trust_remote_code, revision=_revision(config, path))
    split = load_data(config, parts)
    _, texts = texts_of(config, parts, split)
    return replace(split, heldout_texts=texts)


def _revision(config: Config, path: str) -> str | None:
    return (
        config.model.revision if path == config.model.path else None
    )  # it names a commit of the model's repository


def _one_model(
    path: str,
    config: Config,
    parts: Parts,
    split: DataSplit,
    plugins: Plugins,
    progress: Progress,
    journal: Journal,
    reference: Scorer | None,
) -> tuple[dict[str, Measurement], dict[str, str]]:
    """What the metrics say of one model, loaded here and let go of at the end."""
    mine = replace(config, model=replace(config.model, path=path, revision=_revision(config, path)))
    with journal.phase("load"):
        lm = load_model(mine, plugins)
        about = {"path": path, "fingerprint": lm.fingerprint(), "dtype": str(lm.dtype).removeprefix("torch.")}
    with journal.phase("measure"):
        return measured(scorer_of(lm, config, progress, reference), split, parts, journal), about


def _write(folder: Path, result: Evaluation) -> None:
    """Write config.yaml, metrics.json and metrics.csv."""
    command = f"# zu eval {result.models['after']['path']} --suite {result.suite}, as resolved\n"
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
            "perplexity_text": result.config.evaluate.text_label,
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
