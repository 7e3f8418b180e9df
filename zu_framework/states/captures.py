"""What was captured of a model for one text, for another that is moved at the same place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from zu_framework.models import LanguageModel, Replay, Row, entry_of


@dataclass
class Captures:
    """Captures that another text at the same layer may use, as long as nobody writes to the model.

    Args:
        room: Bytes that may be held yet.
    """

    room: float = 0.0
    _held: dict[Any, Replay] = field(default_factory=dict)

    def find(self, lm: LanguageModel, module: str, rows: Sequence[Row], whole: bool) -> Replay | None:
        """Return a capture that fits: of these very rows, moved at the same place.

        Args:
            lm: The model that it was captured from.
            module: Whose output is moved.
            rows: In their order.
            whole: Whether the windows are whole rows.

        Returns:
            The capture; None where none fits.
        """
        return self._held.get(self._key(lm, module, rows, whole))

    def hold(self, lm: LanguageModel, module: str, rows: Sequence[Row], whole: bool, replay: Replay) -> None:
        """Hold a capture, where there is room.

        Args:
            lm: The model that it was captured from.
            module: Whose output is moved.
            rows: In their order.
            whole: Whether the windows are whole rows.
            replay: The capture.
        """
        if replay.nbytes <= self.room:
            self.room -= replay.nbytes
            self._held[self._key(lm, module, rows, whole)] = replay

    def _key(self, lm: LanguageModel, module: str, rows: Sequence[Row], whole: bool) -> Any:
        read = tuple((tuple(row.ids), row.position, tuple(row.continuation)) for row in rows)
        return entry_of(lm, module), whole, read
