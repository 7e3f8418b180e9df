"""Each publisher's schema, request by request, on small files whose answers are written here by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.plugins.datasets import pieces
from zu_framework import ConfigError, DataError, Probe, Request
from zu_framework.engine.check import check
from zu_framework.registry.manager import installed_plugins
from zu_plugins.datasets import counterfact, mmlu, mquake, muse, rwku, tofu, wmdp, zsre
from zu_plugins.datasets.options import (
    CounterFactOptions,
    MmluOptions,
    MquakeOptions,
    MuseOptions,
    RwkuOptions,
    TofuOptions,
    WmdpOptions,
    ZsreOptions,
)

INSTRUCTION = "Please briefly answer the following question.\n"


def test_counterfacts_new_target_is_the_alternative(tmp_path: Path) -> None:
    path = pieces.listed(tmp_path / "c.json", pieces.COUNTERFACT)
    split = counterfact.load(CounterFactOptions(path=path, forget="all"), 0)
    assert split.forget[0] == Request(
        "Quin2 lies in",
        "Place 2",
        "Quin2",
        0,
        "2",
        None,
        ("Where Quin2 lies is",),
        (Probe("Other lies in", "Place 2"),),
        f"{path}, record 3",
        "Elsewhere",
    )


def test_the_edit_schema_has_one_paraphrase_and_one_probe_of_its_own(tmp_path: Path) -> None:
    path = pieces.listed(tmp_path / "c.json", pieces.EDITS)
    split = counterfact.load(CounterFactOptions(path=path, forget="all"), 0)
    assert split.forget[0] == Request(
        "Quin2 of Quin2 lies in",
        "Place 2",
        "Quin2",
        9,
        "2",
        None,
        ("Where Quin2 lies is",),
        (Probe("Other lies in", "Somewhere"),),
        f"{path}, record 3",
        "Elsewhere",
    )
    assert [request.id for request in split.retain] == ["0", "1"]


def test_zsre_reads_the_locality_question_as_published(tmp_path: Path) -> None:
    path = pieces.listed(tmp_path / "z.json", pieces.ZSRE)
    split = zsre.load(ZsreOptions(path=path, protocol="all", forget="all"), 0)
    first, second, *_ = split.forget
    assert second == Request(
        "Who built Quin1?",
        "Bob",
        "Quin1",
        10,
        "",
        None,
        ("Quin1's builder?",),
        (Probe("nq question: who sings best?", "Zed"),),
        f"{path}, record 2",
        "Ann",
        aliases=("Robert",),
    )
    assert first.alternative is None  # an empty `alt` is none


def test_zsre_leaves_the_neutral_text_to_the_models_tokenizer(tmp_path: Path) -> None:
    from zu_framework.models import eos_of
    from zu_framework.testing import tiny_model

    path = pieces.listed(tmp_path / "z.json", pieces.ZSRE)
    lm = tiny_model()
    assert all(
        r.target is None for r in zsre.load(ZsreOptions(path=path, protocol="all", forget="all"), 0).forget
    )
    assert eos_of(lm, "target.text") == lm.tokenizer.eos_token == "</s>"


def test_mquake_makes_a_fact_of_each_edit_and_asks_what_follows_from_it(tmp_path: Path) -> None:
    path = pieces.listed(tmp_path / "m.json", pieces.MQUAKE)
    sung, managed = mquake.load(MquakeOptions(path=path, protocol="all", forget="all"), 0).forget
    assert sung == Request(
        "Hey was sung by",
        "Bea",
        "Hey",
        0,
        "1-1",
        None,
        ("Tell of Hey?",),
        (),
        f"{path}, record 1, requested_rewrite[0]",
        "Mad",
        aliases=("The Bea", "Beas"),
        implied=(
            Probe("Who manages the singer of Hey?", "Brian"),
            Probe("Hey's singer's manager?", "Brian"),
            Probe("Where was Hey's singer born?", "Pool"),
        ),
    )
    assert [probe.aliases for probe in sung.implied] == [("Brian S.",), ("Brian S.",), ()]
    # an edit that only the new chain leads to: the true answer does not follow from it
    assert (managed.prompt, managed.answer, managed.implied) == ("The manager of Mad is", "Guy", ())


def test_tofu_joins_a_split_with_its_rewordings(tmp_path: Path) -> None:
    path = pieces.folder(tmp_path, pieces.TOFU, lines=True)
    split = tofu.load(TofuOptions(path=path), 0)
    assert split.forget[1] == Request(
        "What is forgotten 1?",
        "It is 1.",
        paraphrases=("Say: What is forgotten 1?",),
        source=f"{path}/forget01.json, line 2",
        paraphrased_answer="Indeed: It is 1.",
        perturbed_answers=tuple(f"Wrong {j}" for j in range(5)),
    )
    assert [request.prompt for request in split.retain] == [f"What is kept {n}?" for n in range(6)]
    assert [len(request.perturbed_answers) for request in split.retain] == [5, 5, 0, 0, 0, 0]
    assert {name: len(found) for name, found in split.others.items()} == {
        "real_authors": 1,
        "world_facts": 2,
        "holdout": 1,
    }
    real = split.others["real_authors"][0]
    assert (real.prompt, real.answer, real.perturbed_answers) == ("Real?", "Yes", ("No", "So", "Nay"))


def test_tofu_asks_in_a_template_and_draws_within_the_publishers_splits(tmp_path: Path) -> None:
    path = pieces.folder(tmp_path, pieces.TOFU, lines=True)
    options = TofuOptions(path=path, template="Question: {}\nAnswer: ", forget=2, retain=3)
    split = tofu.load(options, 4)
    assert split == tofu.load(options, 4)
    assert len(split.forget) == 2 and len(split.retain) == 3
    assert all(
        r.prompt.startswith("Question: What is forgotten") and r.prompt.endswith("?\nAnswer:")
        for r in split.forget
    )
    assert all(r.paraphrases[0].startswith("Question: Say: What is") for r in split.forget)
    with pytest.raises(ConfigError, match="data.forget is 4, but forget01 of .* holds 3 records"):
        tofu.load(TofuOptions(path=path, forget=4), 0)
    with pytest.raises(DataError, match="holds none of retain95.json"):
        tofu.load(TofuOptions(path=path, part="forget05"), 0)


def test_muse_has_questions_and_texts(tmp_path: Path) -> None:
    path = pieces.folder(tmp_path, pieces.MUSE)
    split = muse.load(MuseOptions(path=path), 0)
    assert split.forget[0] == Request(
        "Question: What is forgotten 0?\nAnswer:",
        "It is 0.",
        source=f"{path}/knowmem/forget_qa.json, record 1",
    )
    assert len(split.forget) == 3 and len(split.retain) == 2
    assert split.texts == {"forget": ("Text F", "Text F2"), "retain": ("Text R",), "holdout": ("Text H",)}
    (verbatim,) = split.others["forget_verbatim"]
    assert (verbatim.prompt, verbatim.answer) == ("It was a dark", "and stormy night")


def test_muse_knows_the_names_of_the_publishers_repository(tmp_path: Path) -> None:
    parts = {name.replace("retain", "retain2"): rows for name, rows in pieces.MUSE.items()}
    split = muse.load(MuseOptions(path=pieces.folder(tmp_path, parts)), 0)
    assert len(split.retain) == 2 and split.texts["retain"] == ("Text R",)


def test_rwku_asks_in_the_benchmarks_words(tmp_path: Path) -> None:
    path = pieces.folder(tmp_path, pieces.RWKU)
    split = rwku.load(RwkuOptions(path=path, target="Ann Lee"), 0)
    blank, question = split.forget
    begin = "Please complete the blank in the following question.\nQuestion: "
    assert blank == Request(
        f"{begin}Ann Lee was born in ___.\nAnswer:",
        "Rome",
        "Ann Lee",
        len(begin),
        source=f"{path}/forget_level1.json, record 1",
    )
    assert question.prompt == INSTRUCTION + "Question: Where was the singer of Hey born?\nAnswer:"
    assert question.subject is None  # the query does not name her
    assert [request.prompt for request in split.others["forget_level3"]] == [
        INSTRUCTION + "Question: Where? Sure, here it is:",
        INSTRUCTION + "Question: A?\nAnswer: B\nQuestion: Where?\nAnswer:",
        INSTRUCTION + "Question: Wo?\nAnswer:",
    ]
    assert [request.prompt.splitlines()[1] for request in split.retain] == [
        "Question: Lee sings ___.",
        "Question: Who is Lee?",
    ]
    assert split.texts == {"forget": ("Ann Lee is",), "retain": ("Nobody is",)}


def test_rwku_levels_are_chosen(tmp_path: Path) -> None:
    path = pieces.folder(tmp_path, pieces.RWKU)
    split = rwku.load(RwkuOptions(path=path, levels=[3], wording="bare"), 0)
    assert [request.prompt for request in split.forget][2] == "Wo?"
    assert {name: len(found) for name, found in split.others.items()} == {
        "forget_level1": 2,
        "forget_level2": 1,
    }
    with pytest.raises(DataError, match="no probe of levels .1, 2. is about data.target 'Cy'"):
        rwku.load(RwkuOptions(path=path, target="Cy"), 0)
    with pytest.raises(ConfigError, match="levels .4.: name some of 1, 2, 3"):
        RwkuOptions(levels=[4])


LAW = "The following are multiple choice questions (with answers) about {}.\n\n{}\nA. {}\nB. {}\nC. {}\nD. {}\nAnswer:"


def test_mmlu_lists_the_choices_and_is_answered_by_a_letter(tmp_path: Path) -> None:
    path = pieces.mmlu(tmp_path)
    split = mmlu.load(MmluOptions(path=path, subjects=["law"]), 0)
    assert split.forget[0] == Request(
        LAW.format("law", "Is it, so?", *"abcd"),
        "C",
        choices=tuple("ABCD"),
        source=f"{path}/law_test.csv, line 2",
    )
    # a file without a row of names, answered by a letter
    assert split.others == {"old_history": split.retain}
    (old,) = split.retain
    assert (old.prompt, old.answer) == (LAW.format("old history", "Who?", *"wxyz"), "B")


def test_mmlu_answered_in_words(tmp_path: Path) -> None:
    split = mmlu.load(MmluOptions(path=pieces.mmlu(tmp_path), answers="text", forget=1), 3)
    assert len(split.forget) == 1 and len(split.retain) == 2 and not split.others
    every = {(r.prompt, r.answer, r.choices) for r in (*split.forget, *split.retain)}
    assert ("Is it, so?", "c", tuple("abcd")) in every and ("Who?", "x", tuple("wxyz")) in every
    with pytest.raises(ConfigError, match="data.subjects: 'maths' is none of law, old_history"):
        mmlu.load(MmluOptions(path=pieces.mmlu(tmp_path), subjects=["maths"]), 0)


def test_wmdp_forgets_a_subset_and_measures_the_rest(tmp_path: Path) -> None:
    path, general = pieces.folder(tmp_path / "w", pieces.WMDP), pieces.mmlu(tmp_path / "m")
    split = wmdp.load(WmdpOptions(path=path, mmlu=general), 0)
    assert split.forget[1] == Request(
        LAW.format("biology", "Which bio 1?", "one", "two", "three", "four"),
        "B",
        choices=tuple("ABCD"),
        source=f"{path}/bio_questions.json, record 2",
    )
    assert len(split.forget) == 3 and split.retain == ()
    assert {name: len(found) for name, found in split.others.items()} == {
        "wmdp-cyber": 2,
        "mmlu-law": 2,
        "mmlu-old_history": 1,
    }
    one = wmdp.load(WmdpOptions(path=f"{path}/cyber_questions.json", subsets=["cyber"], answers="text"), 0)
    assert [(r.prompt, r.answer) for r in one.forget] == [
        ("Which cyber 0?", "one"),
        ("Which cyber 1?", "two"),
    ]
    with pytest.raises(ConfigError, match="subsets .*: name some of bio, chem, cyber"):
        WmdpOptions(subsets=["bio", "bio"])


@pytest.mark.parametrize("name", installed_plugins().registry.names("dataset"))
def test_check_accepts_every_data_set(tmp_path: Path, name: str) -> None:
    checked = check("demo", [f"data.name={name}", *pieces.everything(tmp_path)[name]])
    assert checked.components["data"] == name and checked.forget >= 1


def test_data_without_subjects_are_met_at_the_door(tmp_path: Path) -> None:
    path = pieces.folder(tmp_path, pieces.TOFU, lines=True)
    overrides = [
        "model.path=zu:demo",
        "locator={name: fixed, layers: [0]}",
        "background.name=demo",
        f"data.path={path}",
    ]
    with pytest.raises(
        DataError, match="forget01.json, line 1: no subject, which collector 'subject-last' reads: use"
    ):
        check("zerounlearn-local", ["data.name=tofu", *overrides])
    assert check("questions", overrides).forget == 3  # the ready-made way
    # reads no sites
    assert check("zerounlearn-local", ["data.name=tofu", "solver.name=ga", *overrides]).forget == 3
