"""The training loop through `zu.unlearn`: what is trained, what is kept, when it stops, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import zu_framework as zu
from zu_framework.models import answer_ids, continuations, encode
from zu_framework.testing import tiny_model
from zu_framework.testing.model_contract import FACTS, TEXTS


@pytest.fixture
def lm() -> zu.LanguageModel:
    return tiny_model("llama")


def forget(lm: zu.LanguageModel, name: str, facts: Any = FACTS, **options: Any) -> zu.Edit:
    background = {"background": options.pop("background")} if "background" in options else {}
    config = {
        "model": {"answer_space": "always"},  # as `log_probability` reads answers
        "locator": {"name": "fixed", "layers": [0, 1]},
        "collector": {"name": "prompt-last"},
        "target": {"name": "neutral"},
        "guard": {"text": None, "facts": None},
        "solver": {"name": name, "lr": 1e-2, "steps": 8, **options},
        **background,
    }
    return zu.unlearn(lm, lm.tokenizer, facts, config)


def log_probability(lm: zu.LanguageModel, fact: zu.Request, answer: str) -> float:
    ids = encode(lm.tokenizer, fact.prompt).ids
    row = zu.models.Row(ids, len(ids) - 1, answer_ids(lm.tokenizer, answer))
    with torch.no_grad():
        return float(continuations(lm, [row]).log_probability)


def test_fine_tuning_makes_the_neutral_text_likely_and_a_fact_may_have_its_own(lm: zu.LanguageModel) -> None:
    facts = [FACTS[0], replace(FACTS[1], target="winter")]
    wanted = ["school", "winter"]
    before = [log_probability(lm, f, w) for f, w in zip(facts, wanted, strict=True)]
    forget(lm, "ft", facts, text=" school", steps=20)
    after = [log_probability(lm, f, w) for f, w in zip(facts, wanted, strict=True)]
    assert all(new > old + 1 for old, new in zip(before, after, strict=True))


@pytest.mark.parametrize("name", ["ga", "npo", "simnpo", "wga", "graddiff"])
def test_answers_become_less_likely(lm: zu.LanguageModel, name: str, text: Path) -> None:
    before = [log_probability(lm, f, f.answer) for f in FACTS]
    forget(lm, name, background={"name": "text", "path": str(text)})
    after = [log_probability(lm, f, f.answer) for f in FACTS]
    assert sum(after) < sum(before) - 1


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("\n".join(TEXTS))
    return path


def test_what_is_trained_is_what_changes(lm: zu.LanguageModel) -> None:
    def changed(**options: Any) -> set[str]:
        with forget(lm, "ga", steps=2, **options) as edit:
            return {e.site.name for e in edit.sites if e.relative_change > 0}

    located = {f"model.layers.{layer}.mlp.down_proj" for layer in (0, 1)}
    assert changed() == located
    assert changed(train=r"layers\.2\.self_attn\.[qk]_proj") == {
        f"model.layers.2.self_attn.{part}_proj" for part in "qk"
    }
    assert changed(train=r"norm\.weight$") >= {"model.norm"}
    everything = changed(train="all")
    assert located < everything and "model.embed_tokens" in everything
    assert changed(train="mlp", lora_rank=1) == {
        f"model.layers.{layer}.mlp.{part}_proj" for layer in range(3) for part in ("gate", "up", "down")
    }


def test_a_pattern_that_matches_nothing_says_what_names_are_like(lm: zu.LanguageModel) -> None:
    with pytest.raises(zu.ConfigError, match=r"'layers.9' matches no parameter; names are like model.layers"):
        forget(lm, "ga", train="layers.9")
    with pytest.raises(zu.ConfigError, match="train '\\(': use located, all, or a regular expression"):
        forget(lm, "ga", train="(")
    with pytest.raises(zu.ConfigError, match="is no weight of a linear map: LoRA cannot train it"):
        tied = tiny_model("llama")
        site = zu.Site("model.norm", -1, "", residual_stream=False)
        from zu_plugins.finetune.options import AscentOptions
        from zu_plugins.finetune.solvers import ascent

        ascent(tied, FACTS, [site], AscentOptions(lora_rank=1), zu.RunContext())


def test_it_stops_at_the_loss_asked_for(lm: zu.LanguageModel) -> None:
    edit = forget(lm, "ga", steps=40, stop_below=-8.0)
    report = edit.report["sites"]["model.layers.0.mlp.down_proj"][0]["solver"]
    assert report["last_loss"] < -8.0 and 1 < report["steps"] < 40


def test_a_loss_that_is_low_enough_at_the_start_changes_nothing(lm: zu.LanguageModel) -> None:
    from zu_plugins.finetune.options import AscentOptions
    from zu_plugins.finetune.solvers import ascent

    ((_, update),) = ascent(lm, FACTS, [lm.site(1)], AscentOptions(stop_below=1e9), zu.RunContext())
    assert update.report["steps"] == 1 and update.report["relative_norm"] == 0.0


def test_a_loss_that_is_not_finite_is_refused_and_the_model_is_as_it_was(lm: zu.LanguageModel) -> None:
    before = lm.fingerprint()
    with pytest.raises(zu.SolverError, match=r"the loss is (nan|inf|-inf) at step \d+: lower solver.lr"):
        forget(lm, "ga", train="all", lr=1e37, steps=5)
    assert lm.fingerprint() == before


def test_the_retain_loss_keeps_what_it_looks_at(lm: zu.LanguageModel, text: Path) -> None:
    def drift(**options: Any) -> float:
        rows = [encode(lm.tokenizer, t).ids for t in TEXTS]
        rows_of = [zu.models.Row(ids[:1], 0, ids[1:]) for ids in rows]
        with torch.no_grad():
            old = continuations(lm, rows_of).logits.log_softmax(1)
            with forget(
                lm, "ga", steps=15, lr=3e-3, background={"name": "text", "path": str(text)}, **options
            ):
                new = continuations(lm, rows_of).logits.log_softmax(1)
        return float((old.exp() * (old - new)).sum(1).mean())

    free = drift()
    assert drift(retain="kl", retain_weight=20.0) < 0.5 * free


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"retain": "nll", "retain_source": "facts"},
            "reads facts to retain .* there are none: .* or use solver.retain_source=text",
        ),
        ({"retain": "often"}, "retain"),
        ({"steps": 0}, "steps"),
        ({"retain_tokens": 1}, "retain_tokens must be at least 2"),
        ({"lora_rank": -1}, "lora_rank"),
    ],
)
def test_bad_options_are_met_at_the_door(lm: zu.LanguageModel, options: dict[str, Any], message: str) -> None:
    before = lm.fingerprint()
    with pytest.raises(zu.ZuError, match=message):
        forget(lm, "ga", **options)
    assert lm.fingerprint() == before


def test_a_tokenizer_without_an_end_needs_a_text(lm: zu.LanguageModel) -> None:
    lm.tokenizer.eos_token = None
    with pytest.raises(zu.ConfigError, match='solver.text=" unknown"'):
        forget(lm, "ft")


def test_small_steps_survive_half_precision() -> None:
    """A step below bfloat16's spacing is lost if taken there; fifty of them in float32 are not."""
    lm = tiny_model("llama", dtype=torch.bfloat16)
    edit = forget(lm, "ga", lr=2e-5, steps=50)
    assert max(e.relative_change for e in edit.sites) > 1e-4


def test_an_adapter_is_exact_and_can_be_exported(lm: zu.LanguageModel, tmp_path: Path) -> None:
    edit = forget(lm, "npo", lora_rank=2, lora_alpha=8.0)
    assert all(step.exactly_low_rank and step.left.shape[1] == 2 for e in edit.sites for step in e.steps)
    ids = torch.tensor([encode(lm.tokenizer, FACTS[0].prompt).ids])
    with torch.no_grad():
        edited = lm.model(ids).logits
    edit.save(tmp_path / "edit")
    adapter = zu.export_lora(tmp_path / "edit", tmp_path / "adapter")
    edit.revert()
    assert not hasattr(lm.model, "peft_config")
    from peft import PeftModel

    with torch.no_grad():
        loaded = PeftModel.from_pretrained(lm.model, str(adapter))(ids).logits
    assert torch.allclose(loaded, edited, atol=1e-5)


def test_batches_take_every_fact_before_any_comes_again() -> None:
    from zu_plugins.finetune.training import batches

    draw = torch.Generator().manual_seed(0)
    stream = batches(7, 3, draw)
    rounds = [[next(stream) for _ in range(3)] for _ in range(2)]
    assert all(sorted(i for batch in each for i in batch) == list(range(7)) for each in rounds)
    assert rounds[0] != rounds[1]
    assert list(batches(0, 3, draw)) == []


def test_a_missing_peft_is_named_with_its_remedy(
    lm: zu.LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(zu.ZuError, match=r"lora_rank needs peft: pip install 'zu_framework\[peft\]'"):
        forget(lm, "ga", lora_rank=2)
