"""A registration is checked when it is added: what the core could not use is refused with plugin and component."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from zu_framework import (
    CollectorSpec,
    DatasetSpec,
    LocatorSpec,
    MetricSpec,
    PluginError,
    Prepared,
    SectionSpec,
    SolverSpec,
    TargetSpec,
)
from zu_framework.registry import Registered, Registry


@dataclass
class Options:
    strength: float = 1.0


@dataclass
class Required:
    strength: float


@dataclass
class Refusing:
    strength: float = 1.0

    def __post_init__(self) -> None:
        raise ValueError("not today")


@dataclass
class Leaving:
    strength: float = field(default_factory=lambda: exit(3))


@dataclass
class Unwritable:
    kinds: Any = field(default_factory=set)


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def raising(options: Any) -> frozenset[str]:
    raise Mute


def listed(options: Any) -> Any:
    return ["keys"]


def added(spec: Any) -> None:
    Registry().add(Registered(spec, "zz_mine"))


HERE = "here:it"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (
            SolverSpec("s", HERE, "", needs=frozenset({"kyes"})),
            "needs 'kyes' is unknown: use one of bare_keys, .*keys",
        ),
        (
            TargetSpec("t", HERE, "", needs=frozenset({"documents"})),
            "needs 'documents' is unknown: use one of key_mo",
        ),
        (
            DatasetSpec("d", HERE, "", needs=frozenset({"keys"})),
            "needs 'keys' is unknown: use nothing for this kind",
        ),
        (
            LocatorSpec("l", HERE, "", remedies={"sensitive": "-"}),
            "remedies for 'sensitive' is unknown: use one of damage, docu",
        ),
        (
            SolverSpec("s", HERE, "", laws=frozenset({"murphy"})),
            "laws 'murphy' is unknown: use one of objective",
        ),
        (
            MetricSpec("m", HERE, "", better="more"),
            "better 'more' is unknown: use one of higher, lower, unchanged",
        ),
        (MetricSpec("m", HERE, "", default_order=-1), "its default_order is a whole number, 0 or above"),
        (CollectorSpec("c", HERE, "", options=dict), "its options must be a dataclass"),
        (CollectorSpec("c", HERE, "", options=Options(2.0)), "its options must be a dataclass"),  # type: ignore[arg-type]
        (
            CollectorSpec("c", HERE, "", options=Required),
            "its options cannot be made from their defaults: TypeError",
        ),
        (CollectorSpec("c", HERE, "", options=Refusing), "their defaults: ValueError: not today"),
        (CollectorSpec("c", HERE, "", options=Leaving), "their defaults: SystemExit: 3"),
        (
            CollectorSpec("c", HERE, "", options=Unwritable),
            "the default of its option 'kinds' is nothing that YAML",
        ),
        (SolverSpec("s", HERE, "", needs=raising), "its needs raise Mute: its message raises RuntimeError"),
        (SolverSpec("s", HERE, "", needs=listed), "its needs are a list, expected a frozenset of names"),
        (SolverSpec("s", "nowhere", ""), "a target 'module:attribute'"),
        (SolverSpec("", HERE, ""), "a name and a target"),
        (SolverSpec("s", HERE, summary=7), "its summary is a int, expected text"),  # type: ignore[arg-type]
        (SectionSpec("s", HERE, "", order="last"), "its order is a str, expected a whole number"),  # type: ignore[arg-type]
        (SectionSpec("s", HERE, "", title=None), "its title is a NoneType, expected text"),  # type: ignore[arg-type]
        (
            SolverSpec("s", HERE, "", prepare=Prepared("nowhere")),
            "prepare names 'nowhere', which is no 'module:attr",
        ),
        (
            SolverSpec("s", HERE, "", options=Options, prepare=Prepared(HERE, options=("strenght",))),
            "options that prepare reads 'strenght' is unknown: use one of strength",
        ),
    ],
)
def test_a_spec_that_cannot_be_used_is_refused_with_the_plugins_name(spec: Any, said: str) -> None:
    with pytest.raises(PluginError, match=rf"plugin 'zz_mine': {spec.kind} {spec.name!r}: .*{said}"):
        added(spec)


def test_a_spec_that_can_be_used_is_taken() -> None:
    added(SolverSpec("s", HERE, "", options=Options, needs=lambda options: frozenset({"keys", "key_moment"})))
    added(MetricSpec("m", HERE, "", better="lower", needs=frozenset({"texts"})))


def test_what_is_no_spec_is_refused_whatever_its_repr_does() -> None:
    class Unspeakable:
        def __repr__(self) -> str:
            raise RuntimeError("no words")

    with pytest.raises(PluginError, match="plugin 'zz_mine' registered a Unspeakable, which is no spec"):
        added(Unspeakable())


def test_needs_that_raise_under_other_options_name_the_component() -> None:
    """At their defaults they are fine, so that only a run with those options meets the fault."""

    def needs(options: Options) -> frozenset[str]:
        return frozenset({"keys"} if options.strength == 1 else {1 // 0: ""})

    spec = SolverSpec("s", HERE, "", options=Options, needs=needs)
    added(spec)
    with pytest.raises(PluginError, match="solver 's': its needs raise ZeroDivisionError"):
        spec.needs_of(Options(2.0))
