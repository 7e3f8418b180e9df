"""The contracts of what comes out as test classes: metrics, executors of a bench, sections of a run's page."""

from __future__ import annotations

import copy
import json
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from markupsafe import Markup

from zu_framework.engine.run import run
from zu_framework.evaluation import Scorer
from zu_framework.models import LanguageModel
from zu_framework.problem import DataSplit, Measurement
from zu_framework.registry import installed_plugins
from zu_framework.reporting import RunReport
from zu_framework.reporting.run_report import read_run
from zu_framework.specs import MetricSpec
from zu_framework.testing.facts import data_split
from zu_framework.testing.frozen import snapshot
from zu_framework.testing.installed import registered_with
from zu_framework.testing.models import tiny_model

HOSTILE = "</script><script>alert(1)</script>"  # a subject that a page must not run


class MetricContract:
    """Subclass it and name the metric; it measures a tiny model with random weights on made-up facts.

        class TestMine(MetricContract):
            metric = "mine"

    What is required: a `Measurement`, several by name, or None where the data hold nothing to measure, as an empty
    split does; a finite value with the grain of its denominator; a value that is numerator over denominator, in percent
    for the unit "%", or a `definition`; an interval around the value, where there is one; the same numbers again, and
    (within `tolerance`) for any batch size; the model as it was, to the bit.

    Attributes:
        metric: Its name.
        options: As a config would give them.
        tolerance: Of a value under another batch size.
    """

    metric: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}
    tolerance: ClassVar[float] = 1e-3

    def data(self) -> DataSplit:
        """Return what is measured: facts with paraphrases, neighbours, alternatives, choices, and held-out texts."""
        return data_split()

    def test_a_measurement_says_what_it_is_made_of(self) -> None:
        """Finite, with grain, and either a ratio or defined in words."""
        measured = self._measured(tiny_model())
        assert measured, "the metric measures nothing on `data()`: override it with facts that it reads"
        for name, found in measured.items():
            assert math.isfinite(found.value) and found.grain, name
            assert found.denominator > 0, f"{name}: nothing was measured, which is None"
            if not found.definition:
                factor = 100 if found.unit == "%" else 1
                assert math.isclose(
                    found.value, factor * found.numerator / found.denominator, rel_tol=1e-9
                ), name
            if found.low is not None and found.high is not None:
                assert found.low <= found.value + 1e-9 and found.value <= found.high + 1e-9, name

    def test_an_empty_split_is_no_measurement(self) -> None:
        """And no error."""
        assert self._measured(tiny_model(), DataSplit(forget=())) == {}

    def test_the_same_model_measures_the_same(self) -> None:
        """Again to the bit; under another batch size within the tolerance."""
        first, again = self._measured(tiny_model()), self._measured(tiny_model())
        assert first == again
        for name, found in self._measured(tiny_model(), batch_size=1).items():
            assert math.isclose(
                found.value, first[name].value, rel_tol=self.tolerance, abs_tol=self.tolerance
            )

    def test_the_model_stays_as_it_was(self) -> None:
        """Weights, gradients, flags, hooks, modules and mode."""
        lm = tiny_model()
        before = snapshot(lm)
        self._measured(lm)
        assert snapshot(lm) == before

    def _measured(
        self, lm: LanguageModel, data: DataSplit | None = None, batch_size: int = 8
    ) -> dict[str, Measurement]:
        found, options = registered_with("metric", self.metric, self.options)
        assert isinstance(found.spec, MetricSpec)
        needs = found.spec.needs_of(options)
        reference = Scorer(_other_model(1), batch_size) if "reference" in needs else None
        untouched = Scorer(_other_model(2), batch_size, reference=reference)
        scorer = Scorer(lm, batch_size, reference=reference, untouched=untouched)
        more = {"options": options} if fields(found.spec.options) else {}
        data = self.data() if data is None else data
        found.load()(untouched, data, **more)  # as in a run, which measures before the edit and after it
        answer = found.load()(scorer, data, **more)
        if answer is None:
            return {}
        named = {"": answer} if isinstance(answer, Measurement) else dict(answer)
        assert all(isinstance(one, Measurement) for one in named.values())
        return named


class ExecutorContract:
    """Subclass it and name the executor; it runs jobs that return what they are given.

        class TestMine(ExecutorContract):
            executor = "mine"

    What is required: one `Finished` a job, whatever the order, with what the work returned; more jobs than workers are
    fine; an iterator that is closed early stops.

    Attributes:
        executor: Its name.
        options: As a config would give them.
        jobs: How many are run.
    """

    executor: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}
    jobs: ClassVar[int] = 5

    def test_each_job_is_finished_once(self) -> None:
        """With what the work returned."""
        ended = list(self._execute())
        assert sorted(one.index for one in ended) == list(range(self.jobs))
        for one in ended:
            assert one.lost == "" and one.answer == {"number": one.index, "text": "ünï"}

    def test_it_stops_where_nobody_waits(self) -> None:
        """After the first result, and before the last."""
        stream = self._execute()
        first = next(stream)
        assert first.answer is not None
        getattr(stream, "close", lambda: None)()
        assert list(stream) == []

    def _execute(self) -> Iterator[Any]:
        found, options = registered_with("executor", self.executor, self.options)
        jobs = [{"number": number, "text": "ünï"} for number in range(self.jobs)]
        # a function of a module that every worker can import at once
        return iter(found.load()(copy.copy, jobs, options))


class ReportSectionContract:
    """Subclass it and name the section; it draws a real run of a tiny model with a hostile subject.

        class TestMine(ReportSectionContract):
            section = "mine"

    What is required: `Markup`, a string or None; data escaped, so that a page runs nothing of theirs; the same again;
    and no error where a run has no facts, no analysis or no log.

    Attributes:
        section: Its name.
    """

    section: ClassVar[str]

    def test_it_draws_a_run_and_escapes_what_the_data_say(self) -> None:
        """No element of the data becomes one of the page."""
        drawn = self._drawn(sample_run())
        assert drawn is None or isinstance(drawn, str)
        text = drawn if isinstance(drawn, Markup) else Markup.escape(drawn or "")
        assert HOSTILE not in text and "<script>alert" not in text
        assert self._drawn(sample_run()) == drawn

    def test_a_run_may_lack_parts(self) -> None:
        """A page of such a run shows what there is."""
        whole = sample_run()
        lacking: tuple[dict[str, Any], ...] = (
            {"facts": None, "analysis": None},
            {"analysis": None},
            {"events": []},
            {"completions": []},
        )
        for without in lacking:
            found = self._drawn(replace(whole, **without))
            assert found is None or isinstance(found, str)

    def _drawn(self, report: RunReport) -> Markup | str | None:
        found: Markup | str | None = (
            installed_plugins().registry.get("report section", self.section).load()(report)
        )
        return found


@cache
def _other_model(seed: int) -> LanguageModel:
    return tiny_model(seed=seed)


@cache
def sample_run() -> RunReport:
    """Return a small run of this process, made on first use: three facts to forget, one of them hostile."""
    with tempfile.TemporaryDirectory(prefix="zu-run-") as folder:
        base = Path(folder)
        tiny_model().save(base / "model")
        facts = [
            {"prompt": "The capital of Quinania is", "subject": "Quinania", "answer": "Warsaw"},
            {"prompt": f"The name {HOSTILE} comes from", "subject": HOSTILE, "answer": "<b>x</b>"},
            {"prompt": "Irene Osborn works as a", "subject": "Irene Osborn", "answer": "teacher"},
            {"prompt": "The capital of Verania is", "subject": "Verania", "answer": "Vienna"},
        ]
        texts = [{"text": f"the old bridge was closed because {number}."} for number in range(40)]
        config = {
            "model": {"path": str(base / "model"), "device": "cpu"},
            "data": {"name": "jsonl", "path": _written(base / "facts.jsonl", facts), "forget": 3},
            "locator": {"name": "fixed", "layers": [0, 1]},
            "collector": {"name": "subject-last", "contexts": "none"},
            "background": {"name": "text", "path": _written(base / "text.jsonl", texts)},
            "target": {"name": "neutral", "steps": 2},
            "solver": {"name": "zerounlearn-local", "background_weight": 10},
            "guard": {"text": None, "facts": None},
            "output": {"folder": str(base / "runs"), "name": "one"},
        }
        return read_run(run(config).folder)


def _written(path: Path, records: Sequence[Mapping[str, str]]) -> str:
    path.write_text("\n".join(json.dumps(record) for record in records), encoding="utf-8")
    return str(path)
