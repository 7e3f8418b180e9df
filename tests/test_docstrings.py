"""What is public says what it takes, returns and raises.

The form: one summary sentence; `Args:` with every parameter; `Returns:` or `Yields:` where something else than None
comes back; `Raises:` with each error that the body raises itself. Held to it: what a public package offers in
`__all__`, the public methods of its classes, all of `contracts` and `specs`, and the plugins that others copy from.
Other plugins' modules are held to the summary.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import zu_plugins
from zu_framework import hookspecs
from zu_framework.contracts import RunObserver
from zu_framework.registry.manager import installed_plugins

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = (
    "zu_framework",
    "zu_framework.linalg",
    "zu_framework.models",
    "zu_framework.states",
    "zu_framework.evaluation",
    "zu_framework.reporting",
    "zu_framework.options",
    "zu_framework.data",
    "zu_framework.testing",
    "zu_framework.demo",
)
WHOLE = ("zu_framework.contracts", "zu_framework.specs")
COPIED_FROM = (
    "zu_plugins.metrics",
    "zu_plugins.executors",
    "zu_plugins.collectors",
    "zu_plugins.backgrounds",
)
# distributions that a plugin may do without
OPTIONAL = ("ray", "datasets", "lm_eval", "peft", "accelerate")

# Let off, with the reason:
#   properties and dunder methods: they read as attributes, or have Python's own meaning; not a contract's `__call__`
#   functions without parameters: the summary says what comes back
#   error classes: built like any exception
#   fields with `help`: an option is explained where it is defined, and the reference prints that
#   tests of a contract class: pytest calls them
#   what fulfils a contract (a component, a hook, a method that a base declares): the contract says it, once
FULFILS = frozenset(
    [
        target.replace(":", ".")
        for one in installed_plugins().registry
        for target in (one.spec.target, getattr(one.spec, "check", ""))
    ]
    + [name for name in vars(hookspecs) if name.startswith("zu_")]
)


@dataclasses.dataclass(frozen=True)
class Thing:
    """Something with a docstring: `name` is its full name; `owner` is the class of a method."""

    name: str
    value: Any
    owner: type | None = None


def public_things() -> Iterator[Thing]:
    """What is offered, each once, named by where it is defined."""
    seen: set[str] = set()
    for module in _modules():
        for value in _offered(module):
            name = f"{value.__module__}.{value.__name__}"
            if name not in seen:
                seen.add(name)
                yield Thing(name, value)
                for kind in value.__mro__ if inspect.isclass(value) else ():
                    yield from _methods(kind)


def _modules() -> Iterator[ModuleType]:
    rooms = [
        found.name
        for package in (*map(importlib.import_module, WHOLE), zu_plugins)
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    ]
    for name in (*PACKAGES, *rooms):
        try:
            yield importlib.import_module(name)
        except ModuleNotFoundError as missing:
            if missing.name not in OPTIONAL:
                raise


def _offered(module: ModuleType) -> list[Any]:
    """Functions and classes: by `__all__` of a public package, by where they are defined of another module."""
    if module.__name__ in PACKAGES:
        values = [getattr(module, name) for name in module.__all__]
        found = [value for value in values if str(getattr(value, "__module__", "")).startswith("zu_")]
    else:
        named = [value for name, value in vars(module).items() if not name.startswith("_")]
        found = [value for value in named if getattr(value, "__module__", "") == module.__name__]
    return [value for value in found if inspect.isclass(value) or inspect.isfunction(value)]


def _methods(kind: type) -> Iterator[Thing]:
    """Those that a class of ours defines; bases that are not offered themselves count too."""
    if not kind.__module__.startswith("zu_"):
        return
    for attribute, value in vars(kind).items():
        function = value.__func__ if isinstance(value, staticmethod | classmethod) else value
        called = attribute == "__call__" and kind.__module__.startswith("zu_framework.contracts.")
        if (attribute.startswith(("_", "test_")) and not called) or not inspect.isfunction(function):
            continue
        if function.__qualname__ == f"{kind.__qualname__}.{attribute}":
            yield Thing(f"{kind.__module__}.{kind.__name__}.{attribute}", function, kind)


def missing(thing: Thing) -> list[str]:
    """What a docstring lacks, in words; empty where it has the form."""
    text = inspect.cleandoc(thing.value.__doc__ or "")
    lacks = _summary_faults(text)
    copied = thing.name.startswith(COPIED_FROM)
    if _fulfils(thing) or (thing.name.startswith("zu_plugins.") and not copied):
        return lacks
    if inspect.isclass(thing.value):
        return lacks + _class_faults(thing.value, text)
    return lacks + _function_faults(thing, text)


def _fulfils(thing: Thing) -> bool:
    if thing.name in FULFILS or thing.value.__name__ in FULFILS:
        return True
    if thing.owner is None:
        return inspect.isclass(thing.value) and issubclass(thing.value, BaseException)
    bases = (*thing.owner.__mro__[1:], *((RunObserver,) if thing.owner is not RunObserver else ()))
    declared = [base for base in bases if thing.value.__name__ in vars(base)]
    return bool(declared) or f"{thing.owner.__module__}.{thing.owner.__name__}" in FULFILS


def _summary_faults(text: str) -> list[str]:
    summary = re.sub(r"`[^`]*`", "x", text.split("\n\n")[0].split("\nArgs:")[0]).replace("\n", " ").strip()
    if not summary:
        return ["a summary"]
    faults = [] if summary.endswith(".") else ["a full stop after the summary"]
    if re.search(r"(?<!e\.g)(?<!i\.e)\. [A-Z]", summary):
        faults.append("a summary of one sentence, apart from the rest")
    return faults


def _class_faults(kind: type, text: str) -> list[str]:
    if dataclasses.is_dataclass(kind):
        own = [f for f in dataclasses.fields(kind) if f.name in kind.__annotations__]
        named = [f.name for f in own if f.init and not f.name.startswith("_") and "help" not in f.metadata]
        return [f"the field {name}" for name in named if not re.search(rf"\b{name}\b", text)]
    init = vars(kind).get("__init__")
    if not inspect.isfunction(init) or getattr(kind, "_is_protocol", False) or inspect.isabstract(kind):
        return []
    args = _section(text, "Args") or _section(inspect.cleandoc(init.__doc__ or ""), "Args")
    return [f"Args: {name}" for name in _parameters(init) if not _named(name, args)]


def _function_faults(thing: Thing, text: str) -> list[str]:
    names = _parameters(thing.value)
    args, back = _section(text, "Args"), _section(text, "Returns") or _section(text, "Yields")
    faults = [f"Args: {name}" for name in names if not _named(name, args)]
    if names and _returns(thing.value) and not back:
        faults.append("Returns")
    raised = _section(text, "Raises")
    faults += [f"Raises: {name}" for name in _raised(thing) if not re.search(rf"\b{name}\b", raised)]
    return faults


def _parameters(function: Any) -> list[str]:
    names = [name for name in inspect.signature(function).parameters if not name.startswith("_")]
    return names[1:] if names[:1] in (["self"], ["cls"]) else names


def _returns(function: Any) -> bool:
    declared = str(inspect.get_annotations(function).get("return", "None"))
    return declared not in ("None", "NoReturn", "Never")


def _section(text: str, name: str) -> str:
    found = re.search(rf"^{name}:[ \t]*(.*?)(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


def _named(name: str, args: str) -> bool:
    """`name:`, or in a list before a colon: `low, high: ...`."""
    return bool(re.search(rf"(?:^|[\s,*]){name}(?:, \*{{0,2}}\w+)*(?: \([^)]*\))?:", args))


def _raised(thing: Thing) -> list[str]:
    """Names of the errors in `raise Name(...)` of the body itself, nested functions left out."""
    found: dict[str, None] = {}

    def walk(node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.Lambda | ast.ClassDef):
                continue
            if isinstance(child, ast.Raise) and isinstance(child.exc, ast.Call):
                name = ast.unparse(child.exc.func).rpartition(".")[2]
                if name[0].isupper() and name != "NotImplementedError":
                    found[name] = None
            walk(child)

    walk(_definition(thing))
    return list(found)


def _definition(thing: Thing) -> ast.AST:
    node: ast.AST = _parsed(thing.value.__module__)
    for part in thing.name.removeprefix(f"{thing.value.__module__}.").split("."):
        node = next(n for n in ast.iter_child_nodes(node) if getattr(n, "name", "") == part)
    return node


@cache
def _parsed(module: str) -> ast.Module:
    return ast.parse(inspect.getsource(importlib.import_module(module)))


def test_what_is_public_is_found() -> None:
    """A package that is moved must not slip through."""
    names = {thing.name for thing in public_things()}
    for module in (*PACKAGES, *WHOLE, *COPIED_FROM):
        offered = {n for n in names if n.startswith(f"{module}.")}
        assert offered or module == "zu_framework", module
    assert {
        "zu_framework.contracts.editing.Solver.__call__",
        "zu_framework.contracts.reading.Dataset.__call__",
        "zu_framework.specs.base.Spec.needs_of",
        "zu_framework.problem.update.Update",
    } <= names


def test_public_names_have_the_form() -> None:
    found = {thing.name: lacks for thing in public_things() if (lacks := missing(thing))}
    assert not found, "\n" + "\n".join(f"{name} lacks {'; '.join(lacks)}" for name, lacks in found.items())
