"""The reference pages that follow from the code: made when the site is built, so that they cannot fall behind it."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields
from typing import Any, get_args, get_origin

import typer

from zu_framework import hookspecs
from zu_framework.bench import BenchConfig, ready_made_benches
from zu_framework.cli.app import app
from zu_framework.config import (
    COMPONENT_GROUPS,
    STAGE_GROUPS,
    EvaluateConfig,
    GuardConfig,
    ModelConfig,
    OutputConfig,
    ReportConfig,
    ready_made,
)
from zu_framework.engine.evaluate import suites
from zu_framework.registry.manager import installed_plugins


def on_files(files: Any, config: Any) -> Any:
    """Called by MkDocs: add the generated pages to the site."""
    from mkdocs.structure.files import File

    for name, page in PAGES.items():
        files.append(File.generated(config, f"reference/{name}.md", content=page()))
    return files


def hooks_page() -> str:
    """Every hook with its contract, which is its docstring."""
    lines = [
        "# Hooks",
        "",
        "A plugin is a module with functions of these names, each marked `@hookimpl` (from `zu_framework`), and an",
        "entry point in the group `zu_framework`. A hook's text is its contract.",
        "",
    ]
    for name, function in hooks():
        parameters = ", ".join(inspect.signature(function).parameters)
        lines += [f"## `{name}`", "", f"`{name}({parameters})`", "", inspect.getdoc(function) or "", ""]
    return "\n".join(lines)


def hooks() -> Iterator[tuple[str, Any]]:
    """The hooks, in the order of their definition."""
    for name, function in vars(hookspecs).items():
        if name.startswith("zu_") and inspect.isfunction(function):
            yield name, function


def configuration_page() -> str:
    """Every key: the core's groups, then the components that each group may name."""
    names = ", ".join(f"`{name}`" for name in ready_made())
    lines = [
        "# Configuration",
        "",
        "A configuration is a ready-made one by name or a YAML file, with `key=value` overrides laid over it. A file",
        f"may begin with `base: NAME` and say only what differs. Ready-made: {names}. Component groups are",
        "`{name: ..., <its options>}`; choosing another `name` drops the options that lower layers gave the group.",
        "",
        "| key | type | default | |",
        "| --- | --- | --- | --- |",
        "| `seed` | int | `0` | every random draw of a run follows from it |",
        "| `base` | str | | a configuration that this one starts from |",
        "| `then` | list | | further stages for the same facts ([stages](../concepts.md#stages)): each may change "
        f"{', '.join(f'`{group}`' for group in STAGE_GROUPS)}, and is laid over the stage before it; "
        "`then.0.target.clamp=0.3` overrides one |",
        "",
    ]
    typed_groups = {
        "model": ModelConfig, "evaluate": EvaluateConfig, "output": OutputConfig, "report": ReportConfig,
        "guard": GuardConfig,
    }  # fmt: skip
    for group, options in typed_groups.items():
        lines += [f"## `{group}`", "", inspect.getdoc(options) or "", "", *table(group, options), ""]
    registry = installed_plugins().registry
    for group, kind in COMPONENT_GROUPS.items():
        lines += [f"## `{group}`", "", f"Names a {kind}.", ""]
        if group == "solver":
            lines += [
                "`solver.group_size`: requests per complete pass; by default what the solver declares.",
                "",
            ]
        if group == "background":
            lines += ["`background.max_tokens`: tokens of a document that are read at most (512).", ""]
        for name in registry.names(kind):
            spec = registry.get(kind, name).spec
            lines += [f"### {group}: `{name}`", "", f"{spec.summary[0].upper()}{spec.summary[1:]}.", ""]
            lines += [*(table(group, spec.options) if fields(spec.options) else ["No options."]), ""]
    lines += ["## `bench`", "", f"{inspect.getdoc(BenchConfig)} Only in the config of a bench.", ""]
    lines += [*table("bench", BenchConfig), "", "## `executor`", "", "Where the cells of a bench run.", ""]
    for name in registry.names("executor"):
        spec = registry.get("executor", name).spec
        lines += [f"### executor: `{name}`", "", f"{spec.summary[0].upper()}{spec.summary[1:]}.", ""]
        lines += [*(table("executor", spec.options) if fields(spec.options) else ["No options."]), ""]
    lines += [
        "## Metrics",
        "",
        "`evaluate.metrics` names them; what each is made of: [metrics](../metrics.md).",
        "",
    ]
    for name in registry.names("metric"):
        spec = registry.get("metric", name).spec
        lines += [f"### metric: `{name}`", "", f"{spec.summary[0].upper()}{spec.summary[1:]}.", ""]
        if fields(spec.options):
            lines += [*table(f"evaluate.options.{name}", spec.options), ""]
    lines += ["## Ready-made configurations", ""]
    for name, path in {**ready_made(), **ready_made_benches()}.items():
        lines += [f"### `{name}`", "", "```yaml", path.read_text(encoding="utf-8").rstrip(), "```", ""]
    lines += ["## Suites", "", "What `zu eval MODEL --suite NAME` measures.", ""]
    for name, path in suites().items():
        lines += [f"### suite: `{name}`", "", "```yaml", path.read_text(encoding="utf-8").rstrip(), "```", ""]
    return "\n".join(lines)


def table(group: str, options: Any) -> list[str]:
    """The fields of an options dataclass."""
    lines = ["| key | type | default | |", "| --- | --- | --- | --- |"]
    for option in fields(options):
        said = option.metadata.get("help", "").replace("|", "\\|")
        lines.append(f"| `{group}.{option.name}` | {typed(option)} | `{default(option)}` | {said} |")
    return lines


def typed(option: Field[Any]) -> str:
    """The type as a reader writes it."""
    written = option.type if isinstance(option.type, str) else _name(option.type)
    return written.replace(" | None", ", or null").replace("|", "\\|")


def _name(kind: Any) -> str:
    if get_origin(kind) is not None:
        return f"{get_origin(kind).__name__}[{', '.join(map(_name, get_args(kind)))}]"
    return getattr(kind, "__name__", str(kind))


def default(option: Field[Any]) -> str:
    """The default as YAML has it."""
    value = option.default if option.default is not MISSING else option.default_factory()  # type: ignore[misc]
    return json.dumps(value, ensure_ascii=False)


def cli_page() -> str:
    """Every command with its arguments and options."""
    lines = [
        "# Command line",
        "",
        "Exit codes: 0 done; 2 something that you can mend, told in one message; 1 a defect; 130 stopped by Ctrl-C.",
        "Progress goes to stderr, and only where it is a terminal.",
        "",
    ]
    root: Any = typer.main.get_command(app)
    for name, command in root.commands.items():
        usage = " ".join(written(parameter) for parameter in command.params)
        lines += [
            f"## `zu {name}`",
            "",
            inspect.cleandoc(command.help or ""),
            "",
            f"    zu {name} {usage}",
            "",
        ]
        rows = [
            (" / ".join([*p.opts, *p.secondary_opts]), getattr(p, "help", "") or "") for p in command.params
        ]
        rows = [(p if p.startswith("-") else p.upper(), said) for p, said in rows]
        lines += ["| | |", "| --- | --- |", *(f"| `{p}` | {said} |" for p, said in rows if said), ""]
    return "\n".join(lines)


def written(parameter: Any) -> str:
    """A parameter as a usage line has it."""
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name.upper())
    metavar = f" {parameter.metavar}" if parameter.metavar else ""
    return f"{parameter.opts[0]}{metavar}" if parameter.required else f"[{parameter.opts[0]}{metavar}]"


PAGES = {"hooks": hooks_page, "configuration": configuration_page, "cli": cli_page}
