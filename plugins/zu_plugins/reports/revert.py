"""How to keep the edit, take it back, export it and repeat it: the exact commands."""

from __future__ import annotations

import shlex

from markupsafe import Markup

from zu_framework.reporting import RunReport, fill


def section(run: RunReport) -> Markup:
    """Commands with this run's own paths."""
    folder, model = shlex.quote(str(run.folder)), shlex.quote(str(run.about.get("model", "MODEL_DIR")))
    holds_model = bool((run.config.get("output") or {}).get("model"))
    steps = [step for record in run.records.values() for step in record.get("steps", [])]
    low_rank = bool(steps) and all(s["kind"] == "factored" and s["scale"] == 1.0 for s in steps)
    # a change of a vector or an embedding has no adapter form
    low_rank = low_rank and all(r.get("parameter", "weight") == "weight" for r in run.records.values())
    commands = []
    if holds_model:
        edited = shlex.quote(str(run.folder / "model"))
        commands.append(("The edited model lies in", edited))
    else:
        edited = "EDITED_DIR"
        commands.append(("Put the edit on the model", f"zu apply {folder} {model} EDITED_DIR"))
    commands.append(("Take it off again", f"zu revert {folder} {edited} ORIGINAL_DIR"))
    if low_rank:
        commands.append(("Export it as a LoRA adapter, exactly", f"zu export {folder} --lora ADAPTER_DIR"))
    commands.append(
        ("Run it again", f"zu run {shlex.quote(str(run.folder / 'config.yaml'))} output.name=AGAIN")
    )
    commands.append(("Make this page again", f"zu report {folder}"))
    return fill("revert.html", "zu_plugins.reports", commands=commands, undo=run.undo, about=run.about)
