"""The command line as a user runs it: exit codes, usage errors, and what stays weightless."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.commands import zu
from zu_framework import ZuError


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["frobnicate"], "No such command 'frobnicate'"),
        (["export", "runs/one"], "Missing option '--lora'"),
        (["run"], "Missing argument 'CONFIG'"),
        (["plugins", "--jsn"], "No such option: --jsn"),
        (["apply", "runs/one"], "Missing argument 'MODEL'"),
        (["run", "demoo"], "did you mean 'demo'"),
        (["run", "demo", "solver.name=zerounlear"], "did you mean 'zerounlearn'"),
        (["run", "demo", "model.path=zu:nothing"], "models by name are zu:demo, zu:demo-twin"),
        (["check", "demo", "background.documents=0"], "documents must be at least 1"),
        (["revert", "nowhere", "model", "out"], "run folder 'nowhere' does not exist"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_the_user_can_mend_is_one_message_and_code_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    code, out, err = zu(capsys, *arguments)
    assert code == 2 and said in err and "Traceback" not in err + out


def test_help_names_what_comes_with_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    from zu_framework.benches import ready_made_benches
    from zu_framework.config import ready_made
    from zu_framework.engine.evaluate import suites

    for command, names in (("run", ready_made()), ("bench", ready_made_benches()), ("eval", suites())):
        _, out, _ = zu(capsys, command, "--help")
        words = set(re.findall(r"[\w-]+", out))
        assert set(names) <= words, set(names) - words


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = zu(capsys, "--help")
    assert code == 0
    for command in ("run", "check", "plugins", "apply", "revert", "export"):
        assert f"\n  {command} " in out
    code, out, _ = zu(capsys, "--version")
    assert code == 0 and out.startswith("zu_framework 0.")
    code, out, _ = zu(capsys, "check", "demo")
    assert code == 0 and out.startswith("ok: demo")


def test_a_defect_shows_its_traceback_and_code_70() -> None:
    script = (
        "import zu_framework.cli.listing as listing\n"
        "def broken(*_): raise RuntimeError('ours')\n"
        "listing.print_plugins = broken\n"
        "from zu_framework.cli import main\n"
        "main(['plugins'])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 70 and "RuntimeError: ours" in done.stderr


def test_ctrl_c_is_told_and_code_130(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("zu_framework.engine.run.run", stopped)
    code, _, err = zu(capsys, "run", "demo")
    assert code == 130 and "stopped" in err


@pytest.mark.parametrize("arguments", [["--help"], ["plugins"], ["plugins", "--json"], ["run", "--help"]])
def test_help_and_listing_import_no_torch(arguments: list[str]) -> None:
    script = (
        "import sys\n"
        "from zu_framework.cli import main\n"
        "try:\n"
        f"    main({arguments!r})\n"
        "except SystemExit:\n"
        "    pass\n"
        "print([name for name in ('torch', 'transformers') if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stderr.strip().endswith("[]"), done.stderr


def test_every_error_of_ours_is_one_that_the_command_line_catches() -> None:
    import zu_framework as zu

    kinds = [
        getattr(zu, name)
        for name in zu.__all__
        if name.endswith("Error") or name.startswith(("Dep", "Empty"))
    ]
    assert len(kinds) >= 9 and all(issubclass(kind, ZuError) for kind in kinds)
