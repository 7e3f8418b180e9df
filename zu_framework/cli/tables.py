"""What `zu run` and `zu check` print."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from zu_framework.cli.console import stdout
from zu_framework.cli.terminal import command
from zu_framework.engine.check import Checked
from zu_framework.engine.evaluate import Evaluation
from zu_framework.engine.saving import RunResult
from zu_framework.evaluation import before_after_table
from zu_framework.models import Sinks
from zu_framework.reporting import site_notes


def print_result(result: RunResult, console: Console | None = None) -> None:
    """Before and after, completions, cost, where the run folder is and how to revert."""
    console = console or stdout()
    about = result.edit.about
    if result.verdict is not None:
        colour = "red" if result.verdict.damaged else "yellow" if result.verdict.not_forgotten else "green"
        console.print(f"[bold {colour}]{escape(result.verdict.headline)}[/bold {colour}]")
        console.print(escape(result.verdict.counted))
        for prompt in result.verdict.unknown:
            console.print(f"[dim]not known: {escape(prompt)}[/dim]")
    console.print(
        f"[bold]{escape(str(about['solver']))}[/bold]: {about['requests']} facts at "
        f"{len(result.edit.sites)} site{'s' if len(result.edit.sites) != 1 else ''} of {escape(str(about['model']))}"
    )
    if result.before:
        label = result.config.evaluate.text_label
        console.print(before_after_table(result.before, result.after, label, width=console.width))
    if result.completions:
        table = Table(title="completions (greedy)", title_justify="left", box=None, padding=(0, 2, 0, 0))
        for column in ("prompt", "true answer", "before", "after"):
            table.add_column(column, overflow="fold")
        for c in result.completions:
            table.add_row(
                escape(c.prompt), escape(c.answer.strip()), escape(c.before.strip()), escape(c.after.strip())
            )
        console.print(table)
    seconds = ", ".join(f"{name} {took:.1f} s" for name, took in result.seconds.items())
    console.print(f"[dim]{seconds}[/dim]")
    sites = result.edit.report["sites"]
    worst = max((step["rounding_loss"] for steps in sites.values() for step in steps), default=0.0)
    console.print(f"[dim]largest relative rounding loss of a written weight: {worst:.1e}[/dim]")
    for note in (*result.notes, *site_notes(sites)):
        console.print(f"[yellow]note[/yellow]: {escape(note)}")
    for part, why in result.failed_parts.items():
        console.print(f"[red]not saved[/red]: {escape(part)}: {escape(why)}", soft_wrap=True)
    _places(result, console)


def _places(result: RunResult, console: Console) -> None:
    """Print where everything lies, and the commands that put the edit on a model and take it off."""
    folder, model = result.folder, str(result.edit.about["model"])
    console.print(f"run folder: [cyan]{escape(str(folder))}[/cyan]", soft_wrap=True)
    page = folder / "report.html"
    if page.is_file():
        console.print(f"report:     [cyan]{escape(str(page))}[/cyan]", soft_wrap=True)
    elif result.config.output.report:
        again = escape(command("zu", "report", folder))
        console.print(f"the page could not be made; {again} says why", soft_wrap=True)
    commands: list[tuple[str, tuple[object, ...]]]
    if result.config.output.model and "model" not in result.failed_parts:
        commands = [("to revert:", ("zu", "revert", folder, folder / "model", "ORIGINAL_DIR"))]
    else:
        commands = [
            ("to keep the edited model:", ("zu", "apply", folder, model, "EDITED_DIR")),
            ("to revert that:          ", ("zu", "revert", folder, "EDITED_DIR", "ORIGINAL_DIR")),
        ]
    for what, words in commands:
        console.print(f"{what} {escape(command(*words))}", soft_wrap=True, highlight=False)


def print_evaluation(result: Evaluation, console: Console | None = None) -> None:
    """The measurements, of base and model where there is a base; what was left out; cost; where the folder is."""
    console = console or stdout()
    label = result.config.evaluate.text_label
    paths = {side: Path(about["path"]).name or about["path"] for side, about in result.models.items()}
    sides = paths.get("before", "base"), paths["after"]
    if sides[0] == sides[1]:
        sides = "base", "model"
    title = f"suite {Path(result.suite).stem}"
    console.print(
        before_after_table(result.before, result.after, label, title=title, sides=sides, width=console.width)
    )
    for note in result.notes:
        console.print(f"[yellow]note[/yellow]: {escape(note)}")
    for side, cost in result.cost.items():
        path = escape(result.models[side]["path"])
        generated = f" and generated {cost['generated_tokens']}" if cost["generated_tokens"] else ""
        console.print(
            f"[dim]{path}: {cost['probes']} probes, {cost['texts']} texts and {cost['prompts']} prompts: read "
            f"{cost['tokens']} tokens{generated} in {cost['seconds']:.1f} s[/dim]"
        )
    console.print(f"folder: [cyan]{escape(str(result.folder))}[/cyan]", soft_wrap=True)


def _named(components: Mapping[str, str]) -> str:
    return ", ".join(f"{group} {escape(name)}" for group, name in components.items())


def print_checked(checked: Checked, console: Console | None = None) -> None:
    """What a run of this config would do."""
    console = console or stdout()
    console.print(f"[green]ok[/green]: {escape(checked.config.name)}")
    console.print(
        f"model: {escape(checked.config.model.path)} ({escape(checked.model_type)}, {checked.num_layers} layers)"
    )
    console.print(f"facts: {checked.forget} to forget, {checked.retain} to retain")
    console.print(_named(checked.components), highlight=False)
    for number, stage in enumerate(checked.stages, 1):
        place = f"stage {number}: " if len(checked.stages) > 1 else ""
        console.print(f"{place}{_named(stage)}", highlight=False)
    for note in checked.notes:
        console.print(f"[yellow]note[/yellow]: {escape(note)}")
    if checked.sinks is not None:
        _print_sinks(checked, checked.sinks, console)


def _print_sinks(checked: Checked, sinks: Sinks, console: Console) -> None:
    """The largest over the median output of each site, where it lies, and what would be edited."""
    edited = {site.module for site in checked.sites}
    table = Table(title="largest output over the median one, by site", title_justify="left", box=None)
    for column, justify in (("site", "left"), ("ratio", "right"), ("token", "right"), ("", "left")):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    for module, sink in sinks.sites.items():
        said = ["writes a sink"] * sink.written + ["would be edited"] * (module in edited)
        table.add_row(
            escape(module), f"{sink.ratio:.1f}", escape(f"{sink.position} {sink.token!r}"), ", ".join(said)
        )
    console.print(table)
