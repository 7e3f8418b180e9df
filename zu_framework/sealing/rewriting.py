"""The files of a run folder that stay, written anew without the data's texts."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from zu_framework.errors import RunFolderError
from zu_framework.files import as_json, write_json, write_text
from zu_framework.registry import Plugins
from zu_framework.reporting.analysis import ANALYSIS_FILE, FACTS_FILE
from zu_framework.reporting.run_page import REPORT_FILE, write_run_page
from zu_framework.reporting.run_report import read_run
from zu_framework.sealing.redaction import Redaction, facts_of
from zu_framework.store.fields import Fields
from zu_framework.store.journal import LOG
from zu_framework.store.tensor_files import with_digest

METRICS, CONFIG, AUDIT = "metrics.json", "config.yaml", "audit/metrics.json"
HEADER = "# sealed: texts that follow from the data are left out\n"

Rewritten = tuple[dict[str, str], Mapping[str, Any], list[dict[str, str]]]


def rewritten(run: Path, key: bytes, plugins: Plugins | None) -> Rewritten:
    """Write the files of a run that stay without the data's texts; nothing is changed yet.

    Args:
        run: The run folder.
        key: Of the facts' digests.
        plugins: Whose sections the page shows.

    Returns:
        The text of each file by its name, the metrics, and of each fact its set and its digest.

    Raises:
        RunFolderError: A file is damaged.
    """
    metrics, facts = (_json(run / name) for name in (METRICS, FACTS_FILE))
    if metrics is not None:
        read_run(run)  # so that an error names the run's own file: the page is drawn from copies
    known = facts_of([found for found in (facts, metrics) if found is not None])
    redaction = Redaction(key, known)
    texts: dict[str, str] = {}
    if metrics is not None:
        texts[METRICS] = as_json(with_digest(redaction.metrics(metrics)))
    if (found := _json(run / AUDIT)) is not None:
        texts[AUDIT] = as_json(redaction.plain(found))
    if (run / CONFIG).is_file():
        texts[CONFIG] = HEADER + yaml.safe_dump(redaction.plain(_yaml(run / CONFIG)), sort_keys=False)
    if (run / LOG).is_file():
        texts[LOG] = redaction.log((run / LOG).read_text(encoding="utf-8", errors="replace"))
    if (run / REPORT_FILE).is_file() and METRICS in texts:
        texts[REPORT_FILE] = _page(run, texts, None if facts is None else redaction.facts(facts), plugins)
    digests = [{"set": str(f["set"]), "fact": redaction.fact(f["prompt"], f["answer"])} for f in known]
    return texts, {} if metrics is None else redaction.metrics(metrics), digests


def _page(
    run: Path, texts: Mapping[str, str], facts: Mapping[str, Any] | None, plugins: Plugins | None
) -> str:
    """The page as it is drawn from what stays, and from facts without words."""
    with tempfile.TemporaryDirectory(prefix=".sealing-", dir=run) as made:
        folder = Path(made)
        for name, text in texts.items():
            (folder / name).parent.mkdir(exist_ok=True)
            write_text(folder / name, text, private=True)
        if facts is not None:
            write_json(folder / FACTS_FILE, facts, private=True)
        if (run / ANALYSIS_FILE).is_file():
            shutil.copyfile(run / ANALYSIS_FILE, folder / ANALYSIS_FILE)
        return write_run_page(folder, location=run, plugins=plugins).read_text(encoding="utf-8")


def _json(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    fields = Fields.read(path)
    for name in {"facts", "completions"} & fields.values.keys():
        fields.objects(name)
    return dict(fields.values)


def _yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as cause:
        raise RunFolderError(f"{path} is damaged: {cause}") from cause
