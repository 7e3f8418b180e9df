"""An edit and a GGUF checkpoint: it is loaded, edited in memory, and saved as an ordinary safetensors checkpoint."""

from __future__ import annotations

from pathlib import Path

from zu_framework.errors import ModelError
from zu_framework.linalg import rounded
from zu_framework.models import LanguageModel
from zu_framework.registry import Plugins, architecture_finder, installed_plugins
from zu_framework.store.ledger import Ledger
from zu_framework.store.records import EditRecord
from zu_framework.store.shards import Checkpoint


def apply_to_gguf(
    record: EditRecord,
    run: Path,
    model: str,
    out: Path,
    *,
    trust_remote_code: bool = False,
    plugins: Plugins | None = None,
) -> list[str]:
    """Put an edit on a GGUF checkpoint.

    Args:
        record: The edit.
        run: Its folder.
        model: As `model.path` names it.
        out: Where the edited checkpoint goes.
        trust_remote_code: Run code that the checkpoint brings along.
        plugins: Who may describe the model's structure; the installed ones where None.

    Returns:
        Notes for the user.

    Raises:
        ModelError: It is not the model that the edit was made on.
    """
    lm = LanguageModel.from_pretrained(
        model,
        dtype=str(record.about["dtype"]),
        device="cpu",
        trust_remote_code=trust_remote_code,
        find_architecture=architecture_finder(plugins or installed_plugins()),
    )
    found = lm.fingerprint()
    if found != record.fingerprint_before:
        raise ModelError(
            f"{model} is not the model that this edit was made on: its fingerprint is {found[:12]}, expected "
            f"{record.fingerprint_before[:12]}"
        )
    for site in record.sites:
        for step in site.steps:
            new, _ = rounded(step, lm.weight(site.site))
            lm.write_weight(site.site, new)
    ledger = Ledger.read(run).before(record).with_edit(record)
    lm.save(out, also=lambda partial: ledger.of(Checkpoint.open(partial).fingerprint.value).save(partial))
    return [
        "the GGUF checkpoint was dequantised: reverting gives its dequantised safetensors, not the GGUF file"
    ]
