"""The reference pages that follow from the code: made when the site is built, so that they cannot fall behind it."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any, get_args, get_origin

import typer

from zu_framework import hookspecs
from zu_framework.benches import BenchConfig, ready_made_benches
from zu_framework.cli.app import app
from zu_framework.config import COMPONENT_GROUPS, CORE_GROUPS, CORE_OPTIONS, STAGE_GROUPS, ready_made
from zu_framework.engine.evaluate import suites
from zu_framework.errors import EXIT_MEANINGS
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
    registry = installed_plugins().registry
    named, staged = (", ".join(f"`{name}`" for name in names) for names in (ready_made(), STAGE_GROUPS))
    lines = [WRITING.replace("READY_MADE", named).replace("STAGES", staged), ""]
    for group, options in CORE_GROUPS.items():
        lines += [f"## `{group}`", "", inspect.getdoc(options) or "", "", *table(group, options), ""]
    for group, kind in COMPONENT_GROUPS.items():
        lines += [f"## `{group}`", "", f"Names a {kind}.", ""]
        for option in (one for one in CORE_OPTIONS if one.group == group):
            default = (
                f"`{option.default}`, or what the {kind} declares"
                if group == "solver"
                else f"`{option.default}`"
            )
            lines += [f"`{group}.{option.key}`: {option.meaning}. Default: {default}.", ""]
        lines += components(registry, kind, group)
    lines += ["## `bench`", "", f"{inspect.getdoc(BenchConfig)} Only in the config of a bench.", ""]
    lines += [*table("bench", BenchConfig), "", "## `executor`", "", "Where the cells of a bench run.", ""]
    lines += components(registry, "executor", "executor")
    lines += [
        "## Metrics",
        "",
        "`evaluate.metrics` names them; what each is made of: [metrics](../metrics.md). Where the key is absent: "
        f"{', '.join(f'`{name}`' for name in registry.default_metrics)}.",
        "",
    ]
    for name in registry.names("metric"):
        spec = registry.get("metric", name).spec
        lines += [f"### metric: `{name}`", "", sentence(spec.summary), ""]
        lines += [*table(f"evaluate.options.{name}", spec.options), ""] if fields(spec.options) else []
    lines += ["## Audits", "", "`audit.attacks` names them; what each does: [auditing](../audit.md).", ""]
    for name in registry.names("audit"):
        spec = registry.get("audit", name).spec
        lines += [f"### audit: `{name}`", "", sentence(spec.summary), ""]
        lines += [*table(f"audit.options.{name}", spec.options), ""]
    lines += ["## Ready-made configurations", "", *sources("", {**ready_made(), **ready_made_benches()})]
    lines += ["## Suites", "", "What `zu eval MODEL --suite NAME` measures.", ""]
    lines += sources("suite: ", suites())
    return "\n".join(lines)


WRITING = """# Configuration

A configuration is a ready-made one by name or a YAML file, with `key=value` overrides laid over it. A file may begin
with `base: NAME` (ready-made, or another file) and say only what differs. Ready-made: READY_MADE. Component groups are
`{name: ..., <its options>}`; choosing another `name` drops the options that lower layers gave the group.

* An override of a text option is taken as it is written: `"model.path=dir #1"`. Every other value is read as YAML.
* A value may stand for another, `${data.path}`, or for an environment variable, `${oc.env:FACTS}`.
* A leading `~` of a path is the home folder.
* `config.yaml` of a run folder says everything, defaults and interpolations written out; `zu run` runs it again. An
  environment variable whose name, or whose key, looks like a token, password, secret, key or credential stays a
  reference.

| key | type | default | |
| --- | --- | --- | --- |
| `name` | str | the file's name | what the configuration is called; run folders are named after it |
| `seed` | int | `0` | every random draw of a run follows from it |
| `base` | str | | a configuration that this one starts from |
| `then` | list | | further stages for the same facts ([stages](../concepts.md#stages)): each may change STAGES, \
and is laid over the stage before it; `then.0.target.clamp=0.3` overrides one |"""


def components(registry: Any, kind: str, group: str) -> list[str]:
    """Every component of a kind with its options."""
    lines = []
    for name in registry.names(kind):
        spec = registry.get(kind, name).spec
        lines += [f"### {group}: `{name}`", "", sentence(spec.summary), ""]
        lines += [*(table(group, spec.options) if fields(spec.options) else ["No options."]), ""]
    return lines


def sources(prefix: str, found: Mapping[str, Path]) -> list[str]:
    """Configuration files as they are."""
    lines = []
    for name, path in found.items():
        lines += [
            f"### {prefix}`{name}`",
            "",
            "```yaml",
            path.read_text(encoding="utf-8").rstrip(),
            "```",
            "",
        ]
    return lines


def sentence(summary: str) -> str:
    """A summary with a capital and a full stop."""
    return f"{summary[0].upper()}{summary[1:]}."


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
    return written.replace("Count", "a number, or all").replace(" | None", ", or null").replace("|", "\\|")


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
        "Exit codes; where several hold, the highest wins:",
        "",
        "| code | |",
        "| --- | --- |",
    ]
    lines += [f"| {int(code)} | {meaning} |" for code, meaning in EXIT_MEANINGS.items()]
    lines += [
        "",
        "Errors and progress go to stderr: bars on a terminal, a line a phase in a file. Control characters of data,",
        "names and models are shown as escapes, never sent.",
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
