"""What every registration says, and how it is checked when it is added."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from typing import Any, ClassVar, Literal, Protocol, TypeVar

from zu_framework.errors import PluginError, described

# What a component may ask of the run. A problem's tensors: keys, bare_keys, retain_keys, sensitive. Moments of general
# text at a site: key_moment, value_moment, mean_value. General text itself: documents; the model, to write it. Of a
# metric: held-out texts, and a reference model. Of a request: its subject. Of the data: facts to retain.
Need = Literal[
    "keys",
    "bare_keys",
    "retain_keys",
    "sensitive",
    "key_moment",
    "value_moment",
    "mean_value",
    "documents",
    "model",
    "texts",
    "reference",
    "subject",
    "retain",
    "base",
]


MOMENTS: frozenset[str] = frozenset({"key_moment", "value_moment", "mean_value"})


# What a remedy may be for besides a need that cannot be met: a site that writes an attention sink, a prediction or a
# measurement of damage above its limit.
TROUBLES: frozenset[str] = frozenset({"sinks", "damage"})


Needs = frozenset[str] | Callable[[Any], frozenset[str]]


@dataclass
class NoOptions:
    """The options of a component that has none."""


@dataclass(frozen=True)
class Spec:
    """What every registration says.

    Args:
        name: Unique among components of its kind.
        target: `"package.module:attribute"` of the implementation, imported on first use.
        summary: One line.
        options: A dataclass whose fields all have defaults; `{name: ..., <fields>}` is the component's config group.
        needs: What the run must provide; a set, or a function of the options.
        remedies: Need -> what a user can do where it cannot be met, such as "set solver.retain_weight to 0"; and what
            to change where the guard predicts "damage", or a site writes "sinks".
    """

    name: str
    target: str
    summary: str
    options: type[Any] = NoOptions
    needs: Needs = frozenset()
    remedies: Mapping[str, str] = field(default_factory=dict)

    kind: ClassVar[str] = "component"
    known_needs: ClassVar[frozenset[str]] = frozenset()

    def needs_of(self, options: Any) -> frozenset[str]:
        """Return the needs under these options.

        Args:
            options: The options dataclass of the registration.

        Returns:
            Names of `known_needs`.

        Raises:
            PluginError: The registration's function raises, or returns no set of names.
        """
        try:
            needs = self.needs(options) if callable(self.needs) else self.needs
        # a stranger's function may raise anything
        except (Exception, SystemExit) as cause:
            raise PluginError(f"{self.kind} {self.name!r}: its needs raise {described(cause)}") from cause
        if not isinstance(needs, set | frozenset) or not all(isinstance(need, str) for need in needs):
            raise PluginError(
                f"{self.kind} {self.name!r}: its needs are a {type(needs).__name__}, expected a frozenset of names"
            )
        return frozenset(needs)

    def faults(self) -> Iterator[str]:
        """Yield what is wrong with this registration, a sentence each; the registry refuses it with the first."""
        for text in ("name", "target", "summary"):
            if not isinstance(getattr(self, text), str):
                yield f"its {text} is a {type(getattr(self, text)).__name__}, expected text"
                return
        if not self.name or ":" not in self.target:
            yield "a spec needs a name and a target 'module:attribute'"
        if not (isinstance(self.options, type) and is_dataclass(self.options)):
            yield "its options must be a dataclass"
            return
        try:
            options = self.options()
        # a stranger's dataclass may raise anything
        except (Exception, SystemExit) as cause:
            yield f"its options cannot be made from their defaults: {described(cause)}"
            return
        for option in fields(options):
            if not _plain(getattr(options, option.name)):
                yield f"the default of its option {option.name!r} is nothing that YAML can hold"
        try:
            yield from unknown_names("needs", self.needs_of(options), self.known_needs)
        except PluginError as cause:
            yield str(cause).partition(": ")[2]
        yield from unknown_names("remedies for", frozenset(self.remedies), self.known_needs | TROUBLES)


@dataclass(frozen=True)
class CheckedSpec(Spec):
    """What registrations say of components whose options can be held against the model before its weights are loaded.

    Args:
        check: `"module:attr"` of a `Check`; "" for none.
    """

    check: str = ""

    def faults(self) -> Iterator[str]:
        """Yield what is wrong with this registration."""
        yield from super().faults()
        if self.check and ":" not in self.check:
            yield f"check names {self.check!r}, which is no 'module:attribute'"


SpecT_contra = TypeVar("SpecT_contra", bound=Spec, contravariant=True)


class Register(Protocol[SpecT_contra]):
    """What a `zu_register_*` hook is handed: call it once a component."""

    def __call__(self, spec: SpecT_contra) -> None:
        """Take one registration."""


def _plain(value: Any) -> bool:
    """Whether YAML and JSON can hold a value."""
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _plain(part) for key, part in value.items())
    if isinstance(value, list | tuple):
        return all(map(_plain, value))
    return value is None or isinstance(value, str | bool | int | float | Enum)


def unknown_names(what: str, given: frozenset[str], known: frozenset[str]) -> Iterator[str]:
    """Yield a sentence about names that are not known, if there are any.

    Args:
        what: They are, for the sentence.
        given: Names.
        known: Those that may be given.

    Yields:
        One sentence at most.
    """
    wrong = sorted(given - known)
    if wrong:
        listed = f"one of {', '.join(sorted(known))}" if known else "nothing for this kind"
        yield f"{what} {', '.join(map(repr, wrong))} is unknown: use {listed}"
