"""What each site was solved from, kept on request: an optional part, which never costs the run."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from zu_framework.errors import ZuError, described
from zu_framework.store.tensor_files import save_tensors

SITES = "sites"


class Intermediates:
    """Writes `sites/<site>.safetensors`, a file a pass, until one cannot be written.

    Args:
        folder: The run folder; None keeps nothing.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.failure = ""  # why they are not whole, in a sentence
        self._folder = folder and folder / SITES

    def __bool__(self) -> bool:
        """Whether anything is kept."""
        return self._folder is not None and not self.failure

    def keep(
        self, site: str, number: int, tensors: Mapping[str, Tensor | None], requests: Sequence[str]
    ) -> None:
        """Write what one pass at a site had.

        Args:
            site: The site's module.
            number: Of the pass, from 1.
            tensors: By name; those that are None are left out.
            requests: What was asked in this pass.
        """
        if not self or self._folder is None:
            return
        name = site if number == 1 else f"{site}.pass{number}"
        held = {key: tensor for key, tensor in tensors.items() if tensor is not None}
        try:
            self._folder.mkdir(exist_ok=True)
            about = {"site": site, "requests": list(requests)}
            save_tensors(self._folder / f"{name}.safetensors", held, about)
        except (ZuError, OSError) as cause:
            self.remove(cause)

    def remove(self, cause: BaseException) -> bool:
        """Give up what was kept, and say why; return whether that freed anything."""
        if self._folder is None or not self._folder.exists():
            self.failure = self.failure or (described(cause) if self._folder else "")
            return False
        shutil.rmtree(self._folder, ignore_errors=True)
        self.failure = described(cause)
        return True
