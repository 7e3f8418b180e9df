"""Where a run would write is checked before it, by `zu check` too."""

from __future__ import annotations

from pathlib import Path

import pytest

from zu_framework import RunFolderError
from zu_framework.config import load_config
from zu_framework.store.run_folder import check_place, run_folder


@pytest.mark.parametrize(
    ("folder", "name", "said"),
    [
        (".", "a/b", "output.name 'a/b': use letters"),
        (".", "one", "one' exists: choose another output.name"),
        ("file", "two", "file is no folder; choose another with output.folder="),
        ("file/a/b", "two", "file is no folder"),
        ("link", "two", "a link to nowhere, which is not there"),
    ],
)
def test_a_place_is_checked_before_the_run_and_nothing_is_written(
    tmp_path: Path, folder: str, name: str, said: str
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "one").mkdir()
    (tmp_path / "link").symlink_to("nowhere")
    asked = [f"output.folder={tmp_path}/{folder}", f"output.name={name}"]
    config = load_config("zerounlearn", asked)
    with pytest.raises(RunFolderError) as refused:
        check_place(config)
    assert said in str(refused.value)
    with pytest.raises(RunFolderError), run_folder(config):
        pass
    check_place(load_config("zerounlearn", [f"output.folder={tmp_path}/new/er", "output.name=one"]))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link", "one"]
