"""The right line is blamed: the one that set the option which is refused, whatever else the message says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from zu_framework import ConfigError
from zu_framework.config import load_config, options_from
from zu_framework.specs import Spec


@dataclass
class Names:
    """Options whose names are parts of other names, and of common words."""

    at: str = "x"
    k: int = 1
    value: int = 1
    least: int = 1
    steps: int = 1
    max_steps: int = 1
    lr: float = 1.0
    blurred: bool = False

    def __post_init__(self) -> None:
        for name in ("k", "steps", "max_steps", "lr", "least"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must be at least 0, whatever value at has", option=name)
        if self.blurred:
            raise ConfigError("at least one of these is wrong")


ORIGINS = {f"solver.{name}": f"f.yaml, line {n}" for n, name in enumerate(Names.__dataclass_fields__, 2)}
ORIGINS["solver"] = "f.yaml, line 1"


@pytest.mark.parametrize("name", ["k", "steps", "max_steps", "lr", "least"])
def test_the_line_of_the_refused_option_is_named(name: str) -> None:
    given = {"at": "x", "k": 1, "value": 1, "least": 1, "steps": 1, "max_steps": 1, "lr": 1, name: -1}
    with pytest.raises(ConfigError, match=rf"^{ORIGINS[f'solver.{name}']}: ") as refused:
        options_from(Spec("one", "a:b", "", Names), given, where="solver", origins=ORIGINS)
    assert refused.value.option == name


def test_a_refusal_that_names_no_option_is_the_group_s() -> None:
    with pytest.raises(ConfigError, match=r"^f\.yaml, line 1: component 'one': at least one"):
        options_from(
            Spec("one", "a:b", "", Names), {"at": "x", "blurred": True}, where="solver", origins=ORIGINS
        )


SHIPPED: dict[str, tuple[str, str]] = {
    "target.at stands before target.steps": ("target: {at: stream, steps: 0}", "steps"),
    "a target's clamp": ("target: {at: stream, clamp: 0}", "clamp"),
    "a solver's ridge": ("solver: {space: output, ridge: -1}", "ridge"),
    "one rule for the null space": (
        "solver: {name: zerounlearn-gd, null_energy: 0.5, null_rank: 1}",
        "null_rank",
    ),
    "documents": ("background: {path: x, documents: 0}", "documents"),
    "bare_weight": ("collector: {length: 3, bare_weight: 2}", "bare_weight"),
}


@pytest.mark.parametrize("case", SHIPPED)
def test_a_shipped_component_blames_the_line_of_its_option(tmp_path: Path, case: str) -> None:
    from zu_framework.engine.session import resolve
    from zu_framework.registry import installed_plugins

    text, option = SHIPPED[case]
    group, _, options = text.partition(": ")
    lines = [f"  {one.strip()}" for one in options.strip("{}").split(",")]
    path = tmp_path / "mine.yaml"
    path.write_text("\n".join(["base: zerounlearn-local", f"{group}:", *lines]) + "\n")
    number = next(n for n, line in enumerate(lines, 3) if line.strip().startswith(f"{option}:"))
    with pytest.raises(ConfigError, match=rf"mine\.yaml, line {number}: .*{option}"):
        resolve(load_config(path), installed_plugins())


Given = Callable[[Path], None]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            "model.documents=3",
            "did you mean 'background.documents' or 'evaluate.documents'|'evaluate.documents' or",
        ),
        ("solver.layers=[1]", r"did you mean 'locator\.layers'"),
        ("evaluate.batch_size=3", r"did you mean 'model\.batch_size'"),
        ("output.dtype=auto", r"did you mean 'model\.dtype'"),
        ("layers=[1]", r"unknown group 'layers': did you mean 'locator\.layers'"),
        (
            "model.dtype=bf16",
            r"override 'model\.dtype=bf16': 'model\.dtype' cannot be 'bf16': did you mean 'bfloat16'",
        ),
        ("model.dtype=fp16", "did you mean 'float16'"),
        ("model.dtype=int3", "expected one of"),
    ],
)
def test_a_key_of_another_group_and_another_spelling_are_suggested(override: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_config("demo", [override])
