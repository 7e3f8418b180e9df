"""The contracts of what finds and reads sites as test classes: locators, collectors, target builders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytest
import torch

from zu_framework.contracts import Collector, RunContext, TargetBuilder
from zu_framework.models import CheckpointInfo, LanguageModel
from zu_framework.problem import Background, ReadPlan, Representations, Request, Site, TargetStates
from zu_framework.registry import Chosen
from zu_framework.specs import LocatorSpec, TargetSpec
from zu_framework.testing.facts import FACTS, RETAIN, TEXTS
from zu_framework.testing.frozen import snapshot
from zu_framework.testing.installed import registered_with
from zu_framework.testing.models import tiny_model


class LocatorContract:
    """Subclass it and name the locator; it runs on the embedded demo model, with six facts that this one knows.

        class TestMine(LocatorContract):
            locator = "mine"
            options = {"width": 2}

    What is required: at least one site, shallowest first and each once; each is `lm.site(layer)` of a layer and
    computes `W k + b`; the model stays as it was, to the bit; the same call finds the same sites; the registration's
    `check`, where it has one, takes a model that the locator serves.

    Attributes:
        locator: Its name.
        options: As a config would give them.
    """

    locator: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}

    def model(self) -> LanguageModel:
        """Return the model to locate in, afresh."""
        return LanguageModel.from_pretrained("zu:demo", dtype="float32", device="cpu")

    def requests(self) -> tuple[Request, ...]:
        """Return facts with subjects, which the model answers."""
        dataset, options = registered_with("dataset", "demo", {"forget": 6})
        found: tuple[Request, ...] = dataset.load()(options, 0).forget
        return found

    def test_sites_are_dense_linear_maps_shallowest_first(self) -> None:
        """And there is at least one."""
        lm = self.model()
        sites = self._located(lm)
        layers = [site.layer for site in sites]
        assert sites and layers == sorted(set(layers)), f"layers {layers}"
        for site in sites:
            assert site == lm.site(site.layer)
            lm.verify(site)

    def test_the_model_stays_as_it_was(self) -> None:
        """Weights, gradients, flags, hooks, modules and mode."""
        lm = self.model()
        before = snapshot(lm)
        self._located(lm)
        assert snapshot(lm) == before

    def test_the_same_call_finds_the_same_sites(self) -> None:
        """Whatever random numbers were drawn before."""
        first = self._located(self.model())
        torch.manual_seed(99)
        assert self._located(self.model()) == first

    def test_its_check_takes_a_model_that_it_serves(self) -> None:
        """The check sees the checkpoint's description alone."""
        found, options = registered_with("locator", self.locator, self.options)
        assert isinstance(found.spec, LocatorSpec)
        if not found.spec.check:
            pytest.skip(f"locator {self.locator!r} registers no check")
        Chosen(found, options).check(CheckpointInfo.of_model(self.model()))

    def _located(self, lm: LanguageModel) -> list[Site]:
        found, options = registered_with("locator", self.locator, self.options)
        context = RunContext(batch_size=8, documents=lambda: iter(TEXTS))
        return list(found.load()(lm, self.requests(), options, context))


class CollectorContract:
    """Subclass it and name the collector; it reads a tiny model with random weights.

        class TestMine(CollectorContract):
            collector = "mine"

    What is required of `plan`: a row a request with equally many prompts, the first the bare prompt; weights that sum
    to one; an anchor or None a request; the same plan on each call. Of `collect`: keys (i, m) and values (o, m) = W
    keys without the bias, bare keys (i, n) and values (o, n) of the bare prompts, m = n unless `request_of` says whose
    a column is; a part of a plan gives that part's columns. The model stays as it was, to the bit.

    Attributes:
        collector: Its name.
        options: As a config would give them.
        requests: What is read, with subjects.
        families: Of tiny models, one with biases among them.
    """

    collector: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}
    requests: ClassVar[tuple[Request, ...]] = FACTS
    families: ClassVar[Sequence[str]] = ("llama", "gpt2")

    def test_a_plan_has_its_form_and_is_the_same_again(self) -> None:
        """A row a request, the bare prompt first, weights that sum to one."""
        lm = tiny_model(self.families[0])
        plan = self._made().plan(lm, self.requests)
        assert plan.requests == self.requests
        assert {len(row) for row in plan.prompts} == {len(plan.weights)}
        assert len(plan.prompts) == len(plan.anchors) == len(self.requests)
        assert abs(sum(plan.weights) - 1) < 1e-9
        for request, row in zip(self.requests, plan.prompts, strict=True):
            assert row[0].text == request.prompt, "the first prompt of a row is the bare one"
            assert all(0 < prompt.read_end <= len(prompt.text) for prompt in row)
        torch.manual_seed(99)
        assert self._made().plan(lm, self.requests) == plan

    def test_values_are_the_weight_times_the_keys(self) -> None:
        """Without the bias, at every site."""
        for family in self.families:
            lm = tiny_model(family)
            collector = self._made()
            plan = collector.plan(lm, self.requests)
            for layer in range(lm.num_layers):
                site = lm.site(layer)
                read = collector.collect(lm, plan, site)
                weight = lm.weight(site).detach()
                for keys, values in ((read.keys, read.values), (read.bare_keys, read.bare_values)):
                    assert torch.allclose(weight @ keys, values, atol=1e-4, rtol=1e-4), f"{family} {site}"
                n = len(self.requests)
                assert read.bare_keys.shape[1] == n
                if read.request_of is None:
                    assert read.keys.shape[1] == n
                else:
                    assert len(read.request_of) == read.keys.shape[1]
                    assert set(read.request_of.tolist()) == set(range(n))

    def test_a_part_of_a_plan_gives_its_columns(self) -> None:
        """Requests are read apart from each other."""
        lm = tiny_model(self.families[0])
        collector = self._made()
        plan, site = collector.plan(lm, self.requests), lm.site(1)
        whole, part = collector.collect(lm, plan, site), collector.collect(lm, plan.subset([1]), site)
        assert torch.allclose(part.bare_keys, whole.bare_keys[:, 1:2], atol=1e-5)
        own = slice(1, 2) if whole.request_of is None else whole.request_of == 1
        assert torch.allclose(part.keys, whole.keys[:, own], atol=1e-5)

    def test_the_model_stays_as_it_was(self) -> None:
        """Weights, gradients, flags, hooks, modules and mode."""
        lm = tiny_model(self.families[0])
        before = snapshot(lm)
        collector = self._made()
        collector.collect(lm, collector.plan(lm, self.requests), lm.site(0))
        assert snapshot(lm) == before

    def test_facts_to_retain_are_among_what_is_retained(self) -> None:
        """And more may be; the same on each call."""
        retained = self._made().retained(self.requests, RETAIN)
        assert list(retained[: len(RETAIN)]) == list(RETAIN)
        assert self._made().retained(self.requests, RETAIN) == retained

    def _made(self) -> Collector:
        found, options = registered_with("collector", self.collector, self.options)
        made = found.load()(options, RunContext(batch_size=4))
        assert isinstance(made, Collector)
        return made


class TargetBuilderContract:
    """Subclass it and name the builder; it builds for a tiny model with random weights.

        class TestMine(TargetBuilderContract):
            target = "mine"

    What is required: targets (o, m) for the m columns of the representations, finite and without the bias; sensitive
    (o, m) where the solver needs it, else None; `states` (o, n); the same bits on each call; the model as it was, to
    the bit. Where the registration says `independent`, requests built for alone get the targets that they get together.

    Attributes:
        target: Its name.
        options: As a config would give them.
        requests: What is built for.
        collector: What reads the keys and values.
        collector_options: Of the collector.
        families: Of tiny models, one with biases among them.
        tolerance: Of targets built alone, relative to those built together.
    """

    target: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}
    requests: ClassVar[tuple[Request, ...]] = FACTS
    collector: ClassVar[str] = "subject-last"
    collector_options: ClassVar[Mapping[str, Any]] = {"contexts": "fixed", "templates": ["It is so. {}"]}
    families: ClassVar[Sequence[str]] = ("llama", "gpt2")
    tolerance: ClassVar[float] = 1e-3

    def test_targets_have_the_shape_of_the_values(self) -> None:
        """At each of two sites, with sensitive values and without, averaged and a column a context."""
        for family in self.families:
            for averaged in (True, False):
                for needs in (frozenset[str](), frozenset({"sensitive"})):
                    lm = tiny_model(family)
                    for read, states in self._built(lm, self.requests, needs, averaged):
                        shape = read.values.shape
                        assert states.targets.shape == shape
                        assert bool(torch.isfinite(states.targets).all())
                        assert (states.sensitive is not None) == bool(needs)
                        if states.sensitive is not None:
                            assert states.sensitive.shape == shape
                            assert bool(torch.isfinite(states.sensitive).all())
                        for name, tensor in states.states.items():
                            assert tensor.shape[1] == len(self.requests), f"states[{name!r}]"

    def test_the_same_call_builds_the_same_bits(self) -> None:
        """Whatever random numbers were drawn before."""
        sensitive = frozenset({"sensitive"})
        first = self._built(tiny_model(self.families[0]), self.requests, sensitive)
        torch.manual_seed(99)
        again = self._built(tiny_model(self.families[0]), self.requests, sensitive)
        for (_, ours), (_, theirs) in zip(first, again, strict=True):
            assert torch.equal(ours.targets, theirs.targets)
            assert ours.sensitive is not None and theirs.sensitive is not None
            assert torch.equal(ours.sensitive, theirs.sensitive)

    def test_the_model_stays_as_it_was(self) -> None:
        """Weights, gradients, flags, hooks, modules and mode."""
        lm = tiny_model(self.families[0])
        before = snapshot(lm)
        self._built(lm, self.requests, frozenset({"sensitive"}))
        assert snapshot(lm) == before

    def test_an_independent_builder_builds_each_request_alone(self) -> None:
        """For a registration with `independent`: processes then divide the requests."""
        spec = registered_with("target", self.target, self.options)[0].spec
        assert isinstance(spec, TargetSpec)
        if not spec.independent:
            pytest.skip(f"target {self.target!r} does not declare that requests are independent")
        together = self._built(tiny_model(self.families[0]), self.requests, frozenset())
        alone = self._built(tiny_model(self.families[0]), self.requests[1:2], frozenset())
        for (_, whole), (_, part) in zip(together, alone, strict=True):
            wanted = whole.targets[:, 1:2]
            error = float((part.targets - wanted).norm() / wanted.norm())
            assert error <= self.tolerance, f"relative difference {error:.1e}"

    def _built(
        self,
        lm: LanguageModel,
        requests: tuple[Request, ...],
        needs: frozenset[str],
        averaged: bool = True,
    ) -> list[tuple[Representations, TargetStates]]:
        """Representations and target states at the first two sites; nothing is written between them."""
        reader, reading = registered_with(
            "collector", self.collector, {**self.collector_options, "average": averaged}
        )
        builder, options = registered_with("target", self.target, self.options)
        sites = [lm.site(0), lm.site(1)]
        context = RunContext(
            batch_size=4,
            needs=needs,
            backgrounds={s.module: moments(lm, s) for s in sites},
            requests=self.requests,
        )
        collector: Collector = reader.load()(reading, context)
        plan: ReadPlan = collector.plan(lm, requests)
        made: TargetBuilder = builder.load()(options, context)
        state = made.prepare(lm, plan, sites)
        found = []
        for index, site in enumerate(sites):
            read = collector.collect(lm, plan, site)
            found.append((read, made.at_site(state, lm, site, index, read)))
        return found


def moments(lm: LanguageModel, site: Site, seed: int = 0) -> Background:
    """Return made-up moments of general text at a site.

    Args:
        lm: The model.
        site: One of its sites.
        seed: Decides the numbers.

    Returns:
        A key moment (i, i) of full rank, the value moment (o, o) and mean value (o,) that follow.
    """
    weight = lm.weight(site).detach().double().cpu()
    made = torch.Generator().manual_seed(seed)
    keys = torch.randn(weight.shape[1], 3 * weight.shape[1], generator=made, dtype=torch.float64)
    moment = keys @ keys.T / keys.shape[1]
    return Background(moment, weight @ moment @ weight.T, weight @ keys.mean(1), count=keys.shape[1])
