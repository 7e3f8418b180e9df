"""Options of the collectors; no torch here."""

from __future__ import annotations

from dataclasses import dataclass, field

from zu_framework import ConfigError
from zu_framework.options import not_negative

KINDS = ("none", "fixed", "generated")
CASES = ("lower", "upper")


@dataclass
class ContextOptions:
    """Which contexts a prompt is read in besides alone."""

    contexts: str = field(default="generated", metadata={"help": "none, fixed (`templates`) or generated"})
    templates: list[str] = field(
        default_factory=list, metadata={"help": "for fixed: texts with one {}, where the prompt goes"}
    )
    starts: list[str] = field(
        default_factory=lambda: ["The", "Therefore", "Because", "I", "You"],
        metadata={"help": "for generated: what each sampled context begins with"},
    )
    length: int = field(default=10, metadata={"help": "for generated: tokens sampled after each start"})
    bare_weight: float = field(
        default=0.5, metadata={"help": "weight of the prompt alone; the contexts share the rest equally"}
    )
    cases: list[str] = field(
        default_factory=list,
        metadata={
            "help": "the prompt alone once more with its subject in these letters (lower, upper), each weighing as "
            "a context does"
        },
    )
    average: bool = field(
        default=True,
        metadata={"help": "one key a request, the mean over contexts; false: each context's key is a column"},
    )
    substitutes: int = field(
        default=0,
        metadata={
            "help": "where the solver retains facts: prompts retained besides, so many for each forget fact, with the "
            "subjects of facts to retain in place of its own"
        },
    )

    def __post_init__(self) -> None:
        not_negative(self, "substitutes")
        if self.contexts not in KINDS:
            raise ConfigError(f"contexts {self.contexts!r}: use {', '.join(KINDS)}", option="contexts")
        for case in self.cases:
            if case not in CASES:
                raise ConfigError(f"cases: {case!r}: use {', '.join(CASES)}", option="cases")
        if self.contexts == "fixed" and not self.templates:
            raise ConfigError("contexts 'fixed' needs `templates`: texts with one {} each", option="contexts")
        for template in self.templates:
            if template.count("{}") != 1:
                raise ConfigError(
                    f"templates: {template!r} must hold {{}} once, where the prompt goes", option="templates"
                )
        if self.contexts == "generated" and not self.starts:
            raise ConfigError(
                "contexts 'generated' needs `starts`: words that the contexts begin with", option="contexts"
            )
        if self.length < 1:
            raise ConfigError(f"length must be at least 1, got {self.length}", option="length")
        if not 0 <= self.bare_weight <= 1:
            raise ConfigError(
                f"bare_weight must be between 0 and 1, got {self.bare_weight}", option="bare_weight"
            )
