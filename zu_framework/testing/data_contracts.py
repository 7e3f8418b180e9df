"""The contracts of what goes in as test classes: sources of general text, and data sets."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import pytest

from zu_framework.errors import NoSource
from zu_framework.problem import DataSplit
from zu_framework.specs import DatasetSpec
from zu_framework.testing.installed import registered_with

FIRST = 200  # documents that are looked at


class BackgroundContract:
    """Subclass it and name the source of text.

        class TestMine(BackgroundContract):
            background = "mine"

            def options(self, folder):
                path = folder / "text.txt"
                path.write_text("...")
                return {"path": str(path)}

    What is required: documents that are texts and not all empty, the same ones in the same order on each call; where
    its options do not say what to read, `NoSource` at the call, before anything is streamed.

    Attributes:
        background: Its name.
        nothing: Options under which there is no source; None where it always has one.
    """

    background: ClassVar[str]
    nothing: ClassVar[Mapping[str, Any] | None] = None

    def options(self, folder: Path) -> Mapping[str, Any]:
        """Return its options, as a config would give them.

        Args:
            folder: Empty, for files that the options name.

        Returns:
            The options.
        """
        return {}

    def test_documents_are_texts_in_a_fixed_order(self, tmp_path: Path) -> None:
        """Afresh on each call."""
        found, options = registered_with("background", self.background, self.options(tmp_path))
        source = found.load()
        first, again = (list(islice(source(options), FIRST)) for _ in range(2))
        assert first and first == again
        assert all(isinstance(text, str) for text in first) and any(text.strip() for text in first)

    def test_without_a_source_it_says_so_at_the_call(self) -> None:
        """An iterator that raises later would fail in the midst of a run."""
        if self.nothing is None:
            pytest.skip(f"background {self.background!r} always has a source")
        found, options = registered_with("background", self.background, self.nothing)
        with pytest.raises(NoSource):
            found.load()(options)


class DatasetContract:
    """Subclass it and name the data set.

        class TestMine(DatasetContract):
            dataset = "mine"

            def options(self, folder): ...

    What is required: at least one fact to forget; the same split for the same options and seed; no fact both to forget
    and to retain; a source for messages in each fact that was read from a file; tuples throughout, so that a split can
    be shared. It needs no model.

    Attributes:
        dataset: Its name.
        counts: The option that says how many facts are to be forgotten; "" where there is none.
    """

    dataset: ClassVar[str]
    counts: ClassVar[str] = "forget"

    def options(self, folder: Path) -> Mapping[str, Any]:
        """Return its options, as a config would give them.

        Args:
            folder: Empty, for files that the options name.

        Returns:
            The options.
        """
        return {}

    def test_there_is_something_to_forget(self, tmp_path: Path) -> None:
        """And nothing of it is to be retained."""
        split = self._split(tmp_path)
        assert split.forget
        asked = [{(r.prompt, r.answer) for r in part} for part in (split.forget, split.retain)]
        assert not asked[0] & asked[1], "a fact is both to forget and to retain"
        for part in (split.forget, split.retain, split.heldout_texts, *split.others.values()):
            assert isinstance(part, tuple)

    def test_the_same_options_and_seed_give_the_same_split(self, tmp_path: Path) -> None:
        """Every draw follows from the seed."""
        options = self.options(tmp_path)
        for seed in (0, 7):
            assert self._split(tmp_path, options, seed) == self._split(tmp_path, options, seed)

    def test_as_many_facts_are_forgotten_as_asked(self, tmp_path: Path) -> None:
        """For the option `counts`."""
        if not self.counts:
            pytest.skip(f"data set {self.dataset!r} has no option for the number of facts")
        options = {**self.options(tmp_path), self.counts: 1}
        assert len(self._split(tmp_path, options).forget) == 1

    def _split(self, folder: Path, options: Mapping[str, Any] | None = None, seed: int = 0) -> DataSplit:
        given = self.options(folder) if options is None else options
        found, chosen = registered_with("dataset", self.dataset, given)
        assert isinstance(found.spec, DatasetSpec)
        more: dict[str, Any] = {"declared": frozenset()} if found.spec.open_fields else {}
        split = found.load()(chosen, seed, **more)
        assert isinstance(split, DataSplit)
        return split
