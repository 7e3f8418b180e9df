"""YAML files at the door: what no config can mean is refused by file, line and key, quickly and in little memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from zu_framework import ConfigError
from zu_framework.config import load_config

BOMB = "a: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"b{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)
MERGE_BOMB = "a: &a0 {x: 1}\n" + "".join(
    f"b{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}], y{n}: 1}}\n" for n in range(1, 40)
)
CASES = {
    "a list that holds itself": (
        "seed: 1\nthen: &a [*a]\n",
        r"line 2: .*'then\.0': an anchor that holds itself",
    ),
    "a mapping that holds itself": (
        "model: &a {b: *a}\n",
        r"line 1: .*'model\.b': an anchor that holds itself",
    ),
    "five thousand levels": (
        f"seed: 1\nthen: {'[' * 5000}{']' * 5000}\n",
        r"line 2: .*'then': nested more than",
    ),
    "levels by aliases": (
        "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 60)),
        r"line 3\d: .*nested more than 32 levels",
    ),
    "a billion values by aliases": (BOMB, r"line 5: .*'b4': its aliases stand for more than 20000 values"),
    "a billion values by merging": (MERGE_BOMB, r"its aliases stand for more than 20000 values"),
    "a long list": (f"a: [{', '.join('x' * 30000)}]\n", r"'a': more than 20000 values"),
    "a number of 5000 digits": (f"model: {{}}\nseed: {'9' * 5000}\n", r"line 2: .*'seed': '9999.* no value"),
    "a seed of 2**64": (
        f"seed: {2**64}\n",
        r"line 1: seed must be a whole number >= 0, got 18446744073709551616",
    ),
    "an option of 2**64": (
        f"report: {{facts: {2**64}}}\n",
        r"'report\.facts' cannot be 18446744073709551616",
    ),
    "a NUL byte in the file": (
        "seed: 1\nmodel: {path: a\0b}\n",
        r"line 2: not valid YAML: special characters",
    ),
    "a NUL in a text": ('model: {path: "a\\0b"}\n', r"'model\.path' cannot be 'a\\x00b': it holds a NUL"),
    "half a character": ('model: {path: "\\ud800"}\n', r"'model\.path' cannot be .*: it is no Unicode text"),
    "not a number": (
        "base: zerounlearn-local\nsolver: {ridge: .nan}\n",
        r"line 2: 'solver\.ridge' cannot be nan: nan is no number",
    ),
    "not a number, as text": (
        "base: zerounlearn-local\nsolver: {ridge: nan}\n",
        r"line 2: 'solver\.ridge' cannot be 'nan': nan is no number",
    ),
    "an infinite step": (
        "base: zerounlearn-local\ntarget: {lr: .inf}\n",
        r"line 2: 'target\.lr' cannot be inf: give a finite number",
    ),
    "one value for a list": (
        "base: zerounlearn-local\nlocator: {name: fixed, layers: 3}\n",
        r"line 2: 'locator\.layers' cannot be 3: it is a list, written in brackets: \[3\]",
    ),
    "a list for one value": (
        "base: zerounlearn-local\nsolver: {ridge: [1]}\n",
        r"line 2: 'solver\.ridge' cannot be \[1\]: it is one value, not a list",
    ),
    "a mapping for one value": (
        "base: zerounlearn-local\ndata: {forget: {a: 1}}\n",
        r"line 2: 'data\.forget' cannot be \{'a': 1\}: it is one value, not a mapping of keys",
    ),
    "null for a list": (
        "evaluate: {metrics: null}\n",
        r"line 1: 'evaluate\.metrics' cannot be None: it may not",
    ),
    "null as a key": ("seed: 1\nnull: 2\n", r"line 2: YAML reads the key 'null' as no word: quote it"),
    "a truth as a key": ("on: 2\n", r"line 1: YAML reads the key 'on' as no word: quote it"),
    "OmegaConf's word for nothing": ("output: {name: '???'}\n", r"'output\.name' cannot be '\?\?\?'"),
    "a list for a mapping": ("evaluate: {options: [1]}\n", r"line 1: 'evaluate\.options' cannot be \[1\]"),
    "a list for a metric's options": (
        "evaluate: {metrics: [efficacy], options: {efficacy: [1]}}\n",
        r"line 1: .*efficacy",
    ),
    "a list for a group": ("model: [1]\n", r"line 1: group 'model' is a mapping"),
    "a mapping for a list": ("evaluate: {metrics: {a: 1}}\n", r"line 1: 'evaluate\.metrics' cannot be"),
    "a key twice": ("model:\n  dtype: auto\n  dtype: float32\n", r"line 3: key 'model\.dtype' stands twice"),
    "a mapping as a key": ("? {a: 1}\n: 2\n", r"line 1: a key is a word, found a mapping"),
    "a home of nobody": (
        "model: {path: ~nosuchuser/x}\n",
        r"'model\.path' is '~nosuchuser/x': no home folder",
    ),
    "a home of nobody, of a component": (
        "base: zerounlearn-local\nbackground: {path: ~nosuchuser/x}\n",
        r"line 2: 'background\.path' is '~nosuchuser/x'",
    ),
    "a tag of one's own": (
        "seed: 1\nmodel: !!python/name:os.system {}\n",
        r"line 2: not valid YAML: .*'model'",
    ),
    "two documents": ("seed: 1\n---\nseed: 2\n", r"line 2: not valid YAML"),
    "a dotted key": (
        "model.path: x\n",
        r"unknown group 'model\.path': in a file write model: \{path: \.\.\.\}",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_file_that_no_config_can_be_is_refused_by_line_and_key(tmp_path: Path, case: str) -> None:
    text, said = CASES[case]
    path = tmp_path / "bad.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(
        ConfigError, match=rf"(?s)bad\.yaml, {said}" if said.startswith("line") else said
    ) as refused:
        load_config(path)
    assert len(str(refused.value)) < 600
    assert "bad.yaml" in str(refused.value)


def test_a_bomb_takes_little_memory(tmp_path: Path) -> None:
    (tmp_path / "bomb.yaml").write_text(BOMB)
    script = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (200 << 20, 200 << 20))\n"
        "from zu_framework import ConfigError\n"
        "from zu_framework.config import load_config\n"
        "try:\n"
        f"    load_config({str(tmp_path / 'bomb.yaml')!r})\n"
        "except ConfigError as refused:\n"
        "    print(refused)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "its aliases stand for more than" in done.stdout, done.stderr


def test_a_base_that_leads_back_to_itself_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.yaml").write_text("base: own.yaml\n")
    Path("one.yaml").write_text("seed: 1\nbase: two.yaml\n")
    Path("two.yaml").write_text("base: one.yaml\n")
    with pytest.raises(ConfigError, match=r"own\.yaml, line 1: base 'own\.yaml' leads back to itself"):
        load_config("own.yaml")
    with pytest.raises(ConfigError, match=r"two\.yaml, line 1: base 'one\.yaml' leads back to itself"):
        load_config("one.yaml")


def test_a_base_is_found_beside_the_file_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "lower.yaml").write_text("seed: 5\n")
    (tmp_path / "upper.yaml").write_text("base: lower.yaml\n")
    assert load_config(tmp_path / "upper.yaml").seed == 5


def test_a_mapping_in_python_that_holds_itself_is_refused() -> None:
    own: dict[str, object] = {}
    own["model"] = own
    with pytest.raises(ConfigError, match="model: nested more than"):
        load_config(own)


def test_a_file_too_large_for_a_config_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    path.write_text("# " + "x" * (2 << 20))
    with pytest.raises(ConfigError, match=r"larger than 1 MiB"):
        load_config(path)


def test_what_yaml_merges_keeps_the_lines_of_its_keys(tmp_path: Path) -> None:
    path = tmp_path / "merged.yaml"
    path.write_text("model: &m\n  batch_size: 0\nreport: {<<: *m}\n")
    with pytest.raises(ConfigError, match=r"line 2: unknown key 'report\.batch_size'"):
        load_config(path)


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "x" * 300 + ".yaml"])
def test_a_name_that_no_file_can_have_is_an_unknown_config(name: str) -> None:
    with pytest.raises(Exception, match="unknown config|does not exist"):
        load_config(name)


def test_words_and_dates_stay_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "dates.yaml"
    path.write_text("output: {name: 2024-01-02}\nevaluate: {text_label: 2024-13-45}\n")
    config = load_config(path)
    assert (config.output.name, config.evaluate.text_label) == ("2024-01-02", "2024-13-45")
