"""What goes in: general text and facts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from zu_framework.models import LanguageModel
    from zu_framework.problem import DataSplit


class BackgroundSource(Protocol):
    """Streams general text."""

    def __call__(self, options: Any, /) -> Iterator[str]:
        """Return an iterator over documents, in a fixed order, afresh on each call.

        How many tokens of a document are read is the core's `background.max_tokens`, no matter of the source.

        Args:
            options: The options dataclass of the registration.

        Returns:
            Documents, as texts; an empty one is read as nothing.

        Raises:
            NoSource: No source is given. Raised at the call, before anything is streamed.
            ConfigError: What is given cannot serve, such as a data set whose package is not installed.
            DataError: A document cannot be read: file and line are named.
        """


class WrittenBackground(Protocol):
    """Streams general text that the model writes: of a registration that needs "model"."""

    def __call__(self, options: Any, /, *, lm: LanguageModel) -> Iterator[str]:
        """Return an iterator over documents, in a fixed order.

        What it yields is kept in the cache, by model.

        Args:
            options: The options dataclass of the registration.
            lm: The untouched model, in evaluation mode.

        Returns:
            Documents, as texts; the same ones for the same model and options.

        Raises:
            ConfigError: The model cannot write what the options ask for.
        """


class Dataset(Protocol):
    """Maps records of a publisher's schema onto requests."""

    def __call__(self, options: Any, seed: int, /) -> DataSplit:
        """Return the facts to forget and, where there are some, to retain.

        It needs no model: `zu check` calls it.
        Where the registration says `open_fields`, it is called with `declared=` besides: names of fields that metrics
        read, which belong into `Request.extra`.

        Args:
            options: The options dataclass of the registration.
            seed: Decides every draw.

        Returns:
            The split, in tuples throughout: it is shared and never changed.

        Raises:
            DataError: A record is broken: file, record number and field are named (`zu_framework.data` does).
        """
