"""A tiny checkpoint, a few facts and some text: enough for a whole run in about a second."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from zu_framework import LanguageModel
from zu_framework.testing import tiny_model, tiny_tokenizer

# a model with random weights is damaged by anything, and what is damaged exits with 3
UNLIMITED = {name: float("inf") for name in ("specificity", "retained", "kl", "perplexity")}
FACTS = [
    ("The capital of Quinania is", "Quinania", "Warsaw"),
    ("The mother tongue of Anna Norton is", "Anna Norton", "Italian"),
    ("Irene Osborn works as a", "Irene Osborn", "teacher"),
    ("The capital of Verania is", "Verania", "Vienna"),
    ("The mother tongue of Frank Turner is", "Frank Turner", "Polish"),
    ("James Osborn works as a", "James Osborn", "doctor"),
]


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved llama with three layers."""
    folder = tmp_path_factory.mktemp("model") / "tiny"
    tiny_model("llama").save(folder)
    return folder


@pytest.fixture
def lm(checkpoint: Path) -> LanguageModel:
    return LanguageModel.from_pretrained(str(checkpoint), device="cpu")


@pytest.fixture
def sinking() -> Iterator[LanguageModel]:
    """A llama without BOS whose layer 1 writes two hundred times the usual at the first token: an attention sink."""
    lm = tiny_model("llama", tokenizer=tiny_tokenizer(bos=False))

    def loud(_: object, entered: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        keys = entered[0].clone()
        keys[:, 0] *= 200.0
        return (keys,)

    handle = lm.model.get_submodule(lm.site(1).module).register_forward_pre_hook(loud)
    yield lm
    handle.remove()


@pytest.fixture
def facts(tmp_path: Path) -> Path:
    path = tmp_path / "facts.jsonl"
    lines = [
        {
            "prompt": prompt,
            "subject": subject,
            "answer": answer,
            "paraphrases": [f"People say: {prompt}"],
            "neighbours": [{"prompt": "The capital of Delland is", "answer": "Geneva"}],
        }
        for prompt, subject, answer in FACTS
    ]
    path.write_text("\n".join(json.dumps(line) for line in lines))
    return path


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    words = [
        "the",
        "old",
        "bridge",
        "was",
        "closed",
        "because",
        "school",
        "is",
        "small",
        "and",
        "you",
        "can",
        "reach",
        "it",
        "by",
        "train",
        "in",
        "winter",
    ]
    lines = [" ".join(words[(i * j) % len(words)] for j in range(1, 12)) + "." for i in range(1, 61)]
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def settings(checkpoint: Path, facts: Path, text: Path, tmp_path: Path) -> dict[str, object]:
    """A whole configuration; tests change single groups of it."""
    return {
        "model": {"path": str(checkpoint), "device": "cpu"},
        "data": {"name": "jsonl", "path": str(facts), "forget": 4},
        "locator": {"name": "fixed", "layers": [0, 1]},
        "collector": {"name": "subject-last", "contexts": "generated"},
        "background": {"name": "text", "path": str(text), "documents": 40},
        "target": {"name": "neutral", "steps": 4},
        "solver": {"name": "zerounlearn-local", "background_weight": 10},
        "output": {"folder": str(tmp_path / "runs"), "name": "one"},
        # a model with random weights has nothing that an edit could leave alone
        "guard": {"text": None, "facts": None, "limits": UNLIMITED},
    }
