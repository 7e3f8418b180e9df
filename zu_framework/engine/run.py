"""The front doors: `run` (config to run folder), `unlearn` (a model in memory), `check` (all but weights)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from zu_framework.config import Config, load_config
from zu_framework.engine.edit import Edit
from zu_framework.engine.loop import Pipeline, Progress, no_progress
from zu_framework.engine.processes import Processes, joined, local_device
from zu_framework.engine.results import Completion, RunResult, write_results
from zu_framework.engine.stage import Parts, require_retain, resolve
from zu_framework.errors import ConfigError, DataError, ModelError
from zu_framework.evaluation import Scorer, measure_with, read_texts
from zu_framework.models import Chat, LanguageModel, check_folder, load_tokenizer
from zu_framework.problem import DataSplit, Measurement, Probe, Request
from zu_framework.registry.manager import Plugins, installed_plugins
from zu_framework.reporting.kept import keep
from zu_framework.reporting.watching import COMPLETION_TOKENS, Sight, Watched, look, watched
from zu_framework.store.checkpoints import ledger_of as ledger_beside
from zu_framework.store.journal import Journal
from zu_framework.store.ledger import Ledger
from zu_framework.store.private import PrivatePart
from zu_framework.store.run_folder import run_folder
from zu_framework.store.shards import Checkpoint

HELD_OUT_EVERY = 10  # every tenth document of the background serves perplexity, where nothing else does

__all__ = ["RunResult", "check", "run", "unlearn"]


def run(
    config: str | Path | Mapping[str, Any] | Config,
    overrides: Sequence[str] = (),
    *,
    plugins: Plugins | None = None,
    progress: Progress = no_progress,
) -> RunResult:
    """Everything, from a config to a run folder: load, measure, edit, measure, keep.

    config: a ready-made name, a YAML file, or a mapping; overrides: `["data.forget=8", "seed=1"]`.
    Started by torchrun, several processes make one run: the first measures, solves and writes, all divide the text and
    the requests, and all hold the edited model at the end; measurements are in the first one's result alone.
    Raises a `ZuError` that says what to mend; then no run folder is left behind.
    """
    with joined() as processes:
        return _run(config, overrides, plugins or installed_plugins(), progress, processes)


def _run(
    config: str | Path | Mapping[str, Any] | Config,
    overrides: Sequence[str],
    plugins: Plugins,
    progress: Progress,
    processes: Processes,
) -> RunResult:
    config = load_config(config, overrides)
    parts = resolve(config, plugins)
    parts.metric_functions()
    check_reference(config)
    split = load_data(config, parts)
    documents, texts = texts_of(config, parts, split)
    with _place(config, processes) as (partial, final, journal):
        counts = {"forget": len(split.forget), "retain": len(split.retain)}
        journal.record("start", config=config.name, seed=config.seed, **counts)
        with journal.phase("load"):
            lm = load_model(config, plugins)
        ledger = ledger_of(config)
        if ledger.entries:
            journal.record("ledger", edits=[entry.id for entry in ledger.entries])
        split = replace(split, heldout_texts=texts)
        pipeline = Pipeline(
            lm, config, parts, plugins, documents, journal, progress,
            sites_folder=partial / "sites" if partial and config.output.intermediates else None,
            artifacts=partial, retain=split.retain, earlier=earlier_keys(config, ledger),
            processes=processes,
        )  # fmt: skip
        with journal.phase("locate"):
            stages = pipeline.locate(split.forget)  # a wrong layer is refused before anything slow
        # one process alone looks, as one alone measures and keeps
        sites = list({site.name: site for stage in stages for site in stage}.values())
        seen = watched(split, sites, config.report) if partial and config.output.report else None
        reference = reference_of(config, plugins, progress)
        before, said, sight = {}, [], None
        if processes.first:
            scorer = scorer_of(lm, config, progress, reference)
            with journal.phase("measure"):
                before = measured(scorer, split, parts, journal)
                said = _completions(scorer, split.forget, config)
            sight = _look(scorer, seen, config, journal)
        edit = replace(pipeline.edit(split.forget, stages), ledger=ledger)
        if partial is None:
            result = RunResult(final, config, edit, {}, {}, [])
        else:
            scorer = scorer_of(lm, config, progress, reference)
            with journal.phase("measure"):
                after = measured(scorer, split, parts, journal)
                again = _completions(scorer, split.forget, config)
            completions = [
                Completion(request.prompt, request.answer, old, new)
                for (request, old), (_, new) in zip(said, again, strict=True)
            ]
            costs = [event["cost"] for event in journal.events if event["event"] == "measured"]
            result = RunResult(
                final, config, edit, before, after, completions, dict(journal.seconds),
                cost=dict(zip(("before", "after"), costs, strict=True)),
            )  # fmt: skip
            sight_after = _look(scorer, seen, config, journal)
            with journal.phase("save"):
                write_results(partial, result)
                if seen is not None and sight is not None and sight_after is not None:
                    keep(partial, seen, sight, sight_after, edit, config.report.sites)
            journal.record("done", seconds=journal.seconds)
            if seen is not None:
                _write_page(partial, final, plugins, journal)
    processes.tell("done")  # no process ends before the run folder is there
    if processes.first:
        plugins.hook.zu_run_finished(result=result)
    return result


@contextmanager
def _place(config: Config, processes: Processes) -> Iterator[tuple[Path | None, Path, Journal]]:
    """Where this process writes (None: the first does), what the run folder will be called, and the journal."""
    if not processes.first:
        yield None, Path(processes.tell()), Journal()
        return
    with run_folder(config) as (partial, final), (partial / "log.jsonl").open("w", encoding="utf-8") as log:
        processes.tell(str(final))
        yield partial, final, Journal(log)


def unlearn(
    model: PreTrainedModel | LanguageModel,
    tokenizer: Any,
    requests: Sequence[Request | Mapping[str, Any]],
    config: str | Path | Mapping[str, Any] | Config = "zerounlearn-local",
    overrides: Sequence[str] = (),
    *,
    retain: Sequence[Request | Mapping[str, Any]] = (),
    earlier: Sequence[Edit] = (),
    plugins: Plugins | None = None,
    progress: Progress = no_progress,
) -> Edit:
    """Forget requests in a model that is in memory; `edit.revert()` takes it back, bit for bit.

    requests: `Request`s, or mappings with prompt, answer and, where there is one, subject. retain: facts to keep, for
    solvers that protect them or train on them. earlier: edits that the model carries, oldest first, whose keys a solver
    may protect; reverted ones are passed over, the others go into the ledger that `edit.save` writes. Raises
    `ModelError` where one was made on another model. The groups model, data,
    evaluate and output of the config are not read. On any error the model is as it was.
    """
    plugins = plugins or installed_plugins()
    config = load_config(config, overrides)
    needed = ("locator", "collector", "background", "target", "solver")
    config = replace(config, components={g: c for g, c in config.components.items() if g in needed})
    parts = resolve(config, plugins, needed)
    asked, kept = (
        tuple(r if isinstance(r, Request) else _request(r, number) for number, r in enumerate(given))
        for given in (requests, retain)
    )
    lm = model if isinstance(model, LanguageModel) else wrap(model, tokenizer, plugins)
    documents = _documents(parts) if parts.reads_text else None
    keys: dict[str, list[Tensor]] = {}
    carried = tuple(edit for edit in earlier if not edit.reverted)
    for before in carried:
        if before.lm.model is not lm.model:
            raise ModelError(
                "an edit in `earlier` was made on another model: give those that this model carries"
            )
        for name, tensor in before.keys.items():
            keys.setdefault(name, []).append(tensor)
    held = {name: torch.cat(tensors, 1) for name, tensors in keys.items()}
    pipeline = Pipeline(lm, config, parts, plugins, documents, progress=progress, retain=kept, earlier=held)
    ledger = carried[0].ledger if carried else Ledger()
    return replace(pipeline.edit(asked), ledger=ledger, earlier=carried)


@dataclass(frozen=True)
class Checked:
    """What `check` saw: enough to say that a run can start."""

    config: Config
    forget: int
    retain: int
    num_layers: int
    model_type: str
    components: Mapping[str, str] = field(default_factory=dict)


def check(
    config: str | Path | Mapping[str, Any] | Config,
    overrides: Sequence[str] = (),
    *,
    plugins: Plugins | None = None,
) -> Checked:
    """Everything that can be checked without loading weights: keys, types, names, files, records, layers."""
    plugins = plugins or installed_plugins()
    config = load_config(config, overrides)
    parts = resolve(config, plugins)
    for stage in parts.stages:
        for chosen in stage.chosen.values():
            chosen.load()
    parts.metric_functions()
    check_reference(config)
    split = load_data(config, parts)
    documents, _ = texts_of(config, parts, split)
    if documents is not None and next(iter(documents()), None) is None:
        raise DataError("the background holds no document")
    if Path(config.model.path).is_dir():
        Ledger.read(Path(config.model.path))
    info = check_folder(_model_path(config), trust_remote_code=config.model.trust_remote_code)
    if config.model.chat:
        tokenizer = load_tokenizer(
            config.model.path,
            trust_remote_code=config.model.trust_remote_code,
            revision=config.model.revision,
        )
        Chat.of(tokenizer, config.model.system)
    for number, stage in enumerate(parts.stages):
        for layer in getattr(stage["locator"].options, "layers", None) or ():
            if not 0 <= layer < info.num_layers:
                key = f"then.{number - 1}.locator.layers" if number else "locator.layers"
                raise ConfigError(
                    f"{key} names layer {layer}; {config.model.path!r} ({info.model_type}) has layers "
                    f"0 to {info.num_layers - 1}"
                )
    names = {group: parts.names(group) for group in parts.chosen}
    return Checked(config, len(split.forget), len(split.retain), info.num_layers, info.model_type, names)


def load_data(config: Config, parts: Parts) -> DataSplit:
    """The data set's split. Raises `DataError` where nothing is to be forgotten, or a subject is read and not there."""
    split: DataSplit = parts["data"].load()(parts["data"].options, config.seed)
    if not split.forget:
        raise DataError(f"data set {parts['data'].spec.name!r} yields no fact to forget: raise data.forget")
    require_retain(parts, split.retain)
    for number, stage in enumerate(parts.stages):
        collector = stage.chosen.get("collector")
        if (
            collector is None
            or "subject" not in collector.spec.needs_of(collector.options)
            or stage.solves_model
        ):
            continue
        without = next((request for request in split.forget if request.subject is None), None)
        if without is not None:
            raise DataError(
                f"{without.source or repr(without.prompt)}: no subject, which collector {collector.spec.name!r} reads; "
                f"use {f'then.{number - 1}.' if number else ''}collector.name=prompt-last"
            )
    return split


def load_model(config: Config, plugins: Plugins) -> LanguageModel:
    """The model of the config, its structure found (by a plugin's hook first, then by the core's own search)."""
    return LanguageModel.from_pretrained(
        _model_path(config),
        dtype=config.model.dtype,
        device=device_of(config),
        device_map=config.model.device_map,
        revision=config.model.revision,
        trust_remote_code=config.model.trust_remote_code,
        chat=config.model.chat,
        system=config.model.system,
        find_architecture=_architecture(plugins),
    )


def ledger_of(config: Config) -> Ledger:
    """The edits that the model of the config carries. Raises `ModelError` where it was changed since."""
    folder = Path(config.model.path)
    return ledger_beside(Checkpoint.open(folder)) if Ledger.read(folder).entries else Ledger()


def earlier_keys(config: Config, ledger: Ledger) -> Mapping[str, Tensor]:
    """Keys (i, m) of the edits of a ledger, by site. Raises `RunFolderError` where their factors are missing."""
    beside = PrivatePart.beside(
        Path(config.output.folder), Path(config.model.path), given=config.ledger.private
    )
    return beside.earlier_keys(ledger)


def wrap(model: PreTrainedModel, tokenizer: Any, plugins: Plugins) -> LanguageModel:
    """A model in memory, its structure found."""
    return LanguageModel.wrap(model, tokenizer, _architecture(plugins)(model))


def device_of(config: Config) -> str:
    """The device of the config; auto is cuda where there is one. Raises `ConfigError` for one that is not there."""
    name = config.model.device
    if name == "auto":
        return local_device() if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as cause:
        raise ConfigError(f"model.device {name!r} is no device: use auto, cpu, cuda or cuda:N") from cause
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"model.device {name!r}: torch sees no CUDA device here; use model.device=cpu")
    return name


def texts_of(
    config: Config, parts: Parts, split: DataSplit
) -> tuple[Callable[[], Iterable[str]] | None, tuple[str, ...]]:
    """The stream of background documents (None: not needed) and the texts that perplexity is measured on.

    The latter are `evaluate.text`, else the data set's held-out texts, else every tenth background document, which
    then takes no part in the moments.
    """
    documents = _documents(parts) if "background" in parts.chosen else None
    limit = config.evaluate.documents
    wanted = any(metric.spec.name == "perplexity" for metric in parts.metrics)
    if config.evaluate.text is not None:
        texts = tuple(islice(read_texts(config.evaluate.text), limit))
        if not texts:
            raise DataError(f"evaluate.text {config.evaluate.text!r} holds no text")
        return documents, texts
    if split.heldout_texts or documents is None or not wanted:
        return documents, split.heldout_texts[:limit]
    stream = documents
    try:
        stream()
    except ConfigError:
        if parts.reads_text:
            raise
        return None, ()  # a background without a source is no fault of a solver that reads none
    held = tuple(
        islice((d for i, d in enumerate(stream()) if i % HELD_OUT_EVERY == HELD_OUT_EVERY - 1), limit)
    )
    return lambda: (d for i, d in enumerate(stream()) if i % HELD_OUT_EVERY != HELD_OUT_EVERY - 1), held


def _documents(parts: Parts) -> Callable[[], Iterable[str]]:
    background = parts["background"]
    implementation = background.load()
    return lambda: implementation(background.options)


def _architecture(plugins: Plugins) -> Callable[[Any], Any]:
    def find(model: Any) -> Any:
        return plugins.hook.zu_architecture(model_type=model.config.model_type, model=model)

    return find


def _model_path(config: Config) -> str:
    if not config.model.path:
        raise ConfigError("model.path is empty: give a checkpoint folder or a hub id: model.path=./my-model")
    return config.model.path


def check_reference(config: Config) -> None:
    """Raise `ModelError` where `evaluate.reference` is no checkpoint, its weights unread."""
    if config.evaluate.reference is not None:
        check_folder(config.evaluate.reference, trust_remote_code=config.model.trust_remote_code)


def reference_of(config: Config, plugins: Plugins, progress: Progress) -> Scorer | None:
    """A scorer of `evaluate.reference`, which loads that model when it is first asked; None where none is given."""
    path = config.evaluate.reference
    if path is None:
        return None
    # a revision names a commit of the model's own repository, not of the reference's
    settings = replace(config, model=replace(config.model, path=path, revision=None))
    return Scorer(
        lambda: load_model(settings, plugins),
        config.model.batch_size,
        max_tokens=config.evaluate.max_tokens,
        progress=progress,
    )


def scorer_of(
    lm: LanguageModel, config: Config, progress: Progress, reference: Scorer | None = None
) -> Scorer:
    """A scorer of the model as it is now, by the config's sizes: metrics, completions and the page share it."""
    return Scorer(
        lm,
        config.model.batch_size,
        max_tokens=config.evaluate.max_tokens,
        progress=progress,
        reference=reference,
    )


def measured(scorer: Scorer, split: DataSplit, parts: Parts, journal: Journal) -> dict[str, Measurement]:
    """What the config's metrics say of the scorer's model; what that cost goes to the journal."""
    found = measure_with(scorer, split, parts.metric_functions())
    journal.record("measured", cost=asdict(scorer.cost))
    return found


def _look(scorer: Scorer, seen: Watched | None, config: Config, journal: Journal) -> Sight | None:
    """What the page shows of the scorer's model; what was scored already is not scored again."""
    if seen is None:
        return None
    with journal.phase("look"):
        return look(scorer.lm, seen, scorer, config.model.batch_size)


def _write_page(partial: Path, final: Path, plugins: Plugins, journal: Journal) -> None:
    """The page, last: an edit that is made and kept is not lost for a page that cannot be drawn."""
    from zu_framework.reporting.run_page import write_run_page  # matplotlib is slow to import

    try:
        with journal.phase("page"):
            write_run_page(partial, lies=final, plugins=plugins)
    except Exception as cause:  # whatever it is: `zu report` tells it again, and tries again
        journal.record("page failed", error=f"{type(cause).__name__}: {cause}")


def _completions(scorer: Scorer, requests: Sequence[Request], config: Config) -> list[tuple[Request, str]]:
    shown = requests[: config.evaluate.completions]
    said = scorer.completions([request.prompt for request in shown], COMPLETION_TOKENS)
    return list(zip(shown, said, strict=True))


def _request(given: Mapping[str, Any], number: int) -> Request:
    known = {field.name for field in fields(Request)} - {"source"}
    unknown = sorted(set(given) - known)
    if unknown or not {"prompt", "answer"} <= set(given):
        what = f"unknown field {unknown[0]!r}" if unknown else "prompt and answer are needed"
        raise DataError(f"request {number}: {what}; fields: {', '.join(sorted(known))}")
    values = dict(given)
    for name in ("paraphrases", "perturbed_answers", "choices", "aliases"):
        values[name] = tuple(values.get(name, ()))
    for name in ("neighbours", "implied"):
        values[name] = tuple(p if isinstance(p, Probe) else Probe(**p) for p in values.get(name, ()))
    return Request(**values, source=f"request {number}")
