"""Plugins that do what they must not: each alone is disabled and named, the others go on."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from itertools import product

import zu_framework as zu
from tests.faults.world import Trial, World
from tests.store.edits import contents
from zu_framework.registry import Plugins
from zu_framework.registry.manager import load_plugins

FAULTS = {
    "raises": "raise RuntimeError('broken')",
    "leaves": "raise SystemExit(3)",
    "has no words": "class E(Exception):\n        def __str__(self): raise ValueError('no words')\n    raise E()",
    "is missing something": "import no_such_module_anywhere",
    "recurses": "def f(): return f()\n    f()",
    "prints": "print('{not json')",
}
HEAD = """
from zu_framework import SolverSpec, MetricSpec, hookimpl, NoOptions

def run():
    {fault}

class Observer:
    def before(self, *given): run() if here == "before" else None
    def after(self, *given): run() if here == "after" else None
    def saved(self, *given): run() if here == "saved" else None

def strange(**changes):
    return SolverSpec(**{{"name": "strange", "target": "a:b", "options": NoOptions, "summary": "s", **changes}})

"""
OBSERVER = "here = {!r}\n@hookimpl\ndef zu_observe_run(config):\n    return Observer()\n"
HOOKS = {
    "at import": "run()\n",
    "while it registers": "@hookimpl\ndef zu_register_solvers(register):\n    run()\n",
    "when a site is solved": "@hookimpl\ndef zu_site_solved(site, problem, update):\n    run()\n",
    "when a run is finished": "@hookimpl\ndef zu_run_finished(result):\n    run()\n",
    "when it describes a model": "@hookimpl\ndef zu_architecture(model_type, model):\n    run()\n",
    "when it offers an observer": "@hookimpl\ndef zu_observe_run(config):\n    run()\n",
    "in an observer, before": OBSERVER.format("before"),
    "in an observer, after": OBSERVER.format("after"),
    "in an observer, at the end": OBSERVER.format("saved"),
}
SPECS = {
    "no spec": "register(7)",
    "a summary that is no text": "register(strange(summary=7))",
    "needs that nobody knows": "register(strange(needs={'magic'}))",
    "needs that are a text": "register(strange(needs='keys'))",
    "options that are no dataclass": "register(strange(options=dict))",
    "a target that is nowhere": "register(strange(target='nowhere:solve'))",
    "a target that is no name": "register(strange(target='///'))",
    "a name that is taken": "register(strange(name='memit'))",
    "the same name twice": "[register(strange()) for _ in 'ab']",
    "a name that is no text": "register(strange(name=7))",
    "an empty name": "register(strange(name=''))",
    "a spec of another kind": "register(MetricSpec('strange', target='a:b', options=NoOptions, summary='s'))",
}


def plugins(world: World, count: int) -> Iterator[Trial]:
    """Every fault at every place, then specs that are none; again under other names until there are enough."""
    places = world.empty("plugins")
    sys.path.insert(0, str(places))
    pairs = product(HOOKS.items(), FAULTS.items())
    cases = [(f"{fault} {hook}", HEAD.format(fault=code) + where) for (hook, where), (fault, code) in pairs]
    for what, code in SPECS.items():
        cases.append(
            (what, HEAD.format(fault="pass") + f"@hookimpl\ndef zu_register_solvers(register):\n    {code}\n")
        )
    try:
        for number in range(count):
            what, code = cases[number % len(cases)]
            name = f"zu_faulty_{number}"
            (places / f"{name}.py").write_text(code, encoding="utf-8")
            yield "plugin", what, _trial(world, name)
    finally:
        sys.path.remove(str(places))


def _trial(world: World, name: str) -> str:
    from zu_framework.cli.listing import describe

    installed = [point for point in entry_points(group="zu_framework") if point.name.startswith("zu_")]
    sound = load_plugins(installed)
    found = load_plugins([*installed, EntryPoint(name, name, "zu_framework")])
    json.loads(json.dumps(describe(found), default=str))
    lost = _names(sound) - _names(found)
    if set(found.registry.failures) - {name} or lost - {"memit"}:
        return f"others were lost: {sorted(lost)} {sorted(found.registry.failures)}"
    folder = world.empty("plugin-run")
    solver = {"name": "zerounlearn-local", "background_weight": 100}  # one whose name nobody takes
    settings = {
        **world.settings,
        "solver": solver,
        "output": {"folder": str(folder), "name": "one", "report": False},
    }
    result = zu.run(settings, plugins=found)
    if not (result.folder / "edit.safetensors").is_file():
        return "the run was lost"
    zu.apply(result.folder, world.model, folder / "edited", plugins=found)
    zu.revert(result.folder, folder / "edited", folder / "back")
    return "" if contents(folder / "back") == contents(world.model) else "the original is not back"


def _names(found: Plugins) -> set[str]:
    return {one.spec.name for one in found.registry}
