"""What is read for a request: which texts, where, and with which weight."""

from __future__ import annotations

import pytest
import torch

from zu_framework import ConfigError, DataError, LanguageModel, Request, RunContext
from zu_framework.models import read_states
from zu_framework.testing import tiny_model
from zu_plugins.collectors.collectors import PromptLast, SubjectLast
from zu_plugins.collectors.options import ContextOptions

REQUESTS = [
    Request("The capital of France is", "Paris", subject="France"),
    Request("Anna {Norton} speaks", "Italian", subject="Anna {Norton}"),
    Request("Who taught Irene Osborn?", "nobody", subject="Irene Osborn"),
]


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return tiny_model("llama")


def subject_last(**options: object) -> SubjectLast:
    return SubjectLast(ContextOptions(**options), RunContext(seed=3, batch_size=4))  # type: ignore[arg-type]


def test_without_contexts_the_bare_prompt_is_all(lm: LanguageModel) -> None:
    collector = subject_last(contexts="none")
    plan = collector.plan(lm, REQUESTS)
    assert plan.weights == (1.0,)
    assert [row[0].text for row in plan.prompts] == [r.prompt for r in REQUESTS]
    found = collector.collect(lm, plan, lm.site(1))
    assert torch.equal(found.keys, found.bare_keys)


def test_fixed_contexts_are_filled_once_and_read_at_the_subject(lm: LanguageModel) -> None:
    collector = subject_last(contexts="fixed", templates=["He said: {}", "{} And so on."])
    plan = collector.plan(lm, REQUESTS)
    assert plan.weights == (0.5, 0.25, 0.25)
    for request, row in zip(REQUESTS, plan.prompts, strict=True):
        assert [p.text for p in row] == [
            request.prompt,
            f"He said: {request.prompt}",
            f"{request.prompt} And so on.",
        ]
        assert all(p.text[: p.read_end].endswith(str(request.subject)) for p in row)
    assert [a.text for a in plan.anchors if a] == [f"{r.subject} is a" for r in REQUESTS]


def test_a_subject_in_other_letters_is_read_where_it_ends(lm: LanguageModel) -> None:
    collector = subject_last(contexts="none", cases=["lower", "upper"], average=False, bare_weight=0.4)
    asked = [*REQUESTS, Request("Die Hauptstadt von Groß ist", "hier", subject="Groß")]
    plan = collector.plan(lm, asked)
    assert plan.weights == pytest.approx((0.4, 0.3, 0.3))
    assert [[p.text[: p.read_end] for p in row] for row in plan.prompts] == [
        ["The capital of France", "The capital of france", "The capital of FRANCE"],
        ["Anna {Norton}", "anna {norton}", "ANNA {NORTON}"],
        ["Who taught Irene Osborn", "Who taught irene osborn", "Who taught IRENE OSBORN"],
        ["Die Hauptstadt von Groß", "Die Hauptstadt von groß", "Die Hauptstadt von GROSS"],
    ]
    assert [row[2].text for row in plan.prompts][-1] == "Die Hauptstadt von GROSS ist"
    found = collector.collect(lm, plan, lm.site(1))
    assert found.keys.shape[1] == 12, "each its own column"
    keys = read_states(lm, [lm.site(1).module], plan.prompts[0])[lm.site(1).module][0]
    assert keys is not None
    assert torch.allclose(found.keys[:, 1], 0.3**0.5 * keys[:, 1], atol=1e-5)


def test_generated_contexts_follow_from_the_seed(lm: LanguageModel) -> None:
    plan = subject_last().plan(lm, REQUESTS)
    assert len(plan.weights) == 6
    assert plan.weights[0] == 0.5
    assert plan.weights[1:] == pytest.approx([0.1] * 5)
    assert plan == subject_last().plan(lm, REQUESTS)
    torch.rand(7)  # the global generator has no part in it
    assert plan == subject_last().plan(lm, REQUESTS)
    other = SubjectLast(ContextOptions(), RunContext(seed=4)).plan(lm, REQUESTS)
    assert plan.prompts != other.prompts
    contexts = [p.text.removesuffix(REQUESTS[0].prompt) for p in plan.prompts[0][1:]]
    assert [
        c.split()[0].startswith(s)
        for c, s in zip(contexts, ("The", "Therefore", "Because", "I", "You"), strict=True)
    ]
    assert all(c.endswith((". ", "! ", "? ")) for c in contexts)


def test_keys_are_the_weighted_mean_over_contexts(lm: LanguageModel) -> None:
    collector = subject_last(contexts="fixed", templates=["He said: {}", "Yes. {}"], bare_weight=0.4)
    plan, site = collector.plan(lm, REQUESTS), lm.site(2)
    found = collector.collect(lm, plan, site)
    for number, row in enumerate(plan.prompts):
        keys = read_states(lm, [site.module], row)[site.module][0]
        assert keys is not None
        expected = 0.4 * keys[:, 0] + 0.3 * keys[:, 1] + 0.3 * keys[:, 2]
        assert torch.allclose(found.keys[:, number], expected, atol=1e-5)
        assert torch.allclose(found.bare_keys[:, number], keys[:, 0], atol=1e-5)
    assert torch.allclose(found.values, lm.weight(site) @ found.keys, atol=1e-4)


def test_values_are_without_the_bias() -> None:
    lm = tiny_model("gpt2")
    assert lm.bias(lm.site(1)) is not None
    collector = subject_last(contexts="none")
    found = collector.collect(lm, collector.plan(lm, REQUESTS), lm.site(1))
    assert torch.allclose(found.values, lm.weight(lm.site(1)) @ found.keys, atol=1e-4)


def test_prompt_last_reads_the_end_of_the_prompt(lm: LanguageModel) -> None:
    questions = [Request("Who wrote this book?", "nobody"), *REQUESTS]
    collector = PromptLast(ContextOptions(contexts="none"), RunContext())
    plan = collector.plan(lm, questions)
    assert [row[0].read_end for row in plan.prompts] == [len(q.prompt) for q in questions]
    assert plan.anchors[0] is None
    collector.collect(lm, plan, lm.site(0))


def test_a_request_without_subject_is_refused_with_the_way_out(lm: LanguageModel) -> None:
    with pytest.raises(DataError, match=r"no subject, .* use collector.name=prompt-last"):
        subject_last(contexts="none").plan(lm, [Request("Who wrote this?", "nobody")])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"contexts": "some"}, "contexts 'some': use none, fixed, generated"),
        ({"contexts": "fixed"}, "needs `templates`"),
        ({"contexts": "fixed", "templates": ["no place"]}, "must hold {} once"),
        ({"contexts": "fixed", "templates": ["{} and {}"]}, "must hold {} once"),
        ({"starts": []}, "needs `starts`"),
        ({"length": 0}, "length must be at least 1"),
        ({"cases": ["title"]}, "cases: 'title': use lower, upper"),
        ({"bare_weight": 1.5}, "bare_weight must be between 0 and 1"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        subject_last(**options)


def test_substitutes_ask_what_is_forgotten_of_the_facts_to_retain() -> None:
    keep = [
        Request("Rome lies in", "Italy", subject="Rome"),
        Request("Oslo lies in", "Norway", subject="Oslo"),
        Request("In France they speak", "French", subject="France"),
        Request("Nobody knows", "it"),
    ]
    collector = subject_last(substitutes=5)
    kept = collector.retained(REQUESTS, keep)
    assert kept[:4] == keep
    made = kept[4:]
    # France is to be forgotten, and one fact has no subject: two are left to lend
    assert {r.prompt for r in made} == {
        f"{before}{subject}{after}"
        for subject in ("Rome", "Oslo")
        for before, after in (("The capital of ", " is"), ("", " speaks"), ("Who taught ", "?"))
    }
    assert all(r.prompt[: r.subject_end].endswith(str(r.subject)) for r in made)
    assert collector.retained(REQUESTS, keep) == kept
    assert subject_last().retained(REQUESTS, keep) == keep
    with pytest.raises(ConfigError, match="substitutes"):
        ContextOptions(substitutes=-1)


def test_facts_of_one_wording_share_their_substitutes() -> None:
    forget = [Request(f"The capital of {s} is", "Paris", subject=s) for s in ("France", "Spain")]
    keep = [Request(f"The capital of {s} is", "x", subject=s) for s in ("Norway",)]
    keep += [Request(f"{s} is old", "x", subject=s) for s in ("Rome", "Oslo", "Bern")]
    made = subject_last(substitutes=2).retained(forget, keep)[len(keep) :]
    assert sorted(r.prompt for r in made) == [f"The capital of {s} is" for s in ("Bern", "Oslo", "Rome")]
