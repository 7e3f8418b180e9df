"""What a command does to start quickly, and that it leaves the process as it was."""

from __future__ import annotations

import gc
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import Distribution, entry_points

import pytest

from zu_framework.cli.app import main
from zu_framework.cli.starting import uncollected
from zu_framework.registry import load_plugins


def test_the_collector_runs_again_whatever_the_block_raises() -> None:
    assert gc.isenabled()
    with pytest.raises(ValueError, match="inside"), uncollected():
        assert not gc.isenabled()
        raise ValueError("inside")
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_command_leaves_the_collector_on(capsys: pytest.CaptureFixture[str]) -> None:
    with suppress(SystemExit):
        main(["plugins", "--json"])
    assert gc.isenabled() and '"components"' in capsys.readouterr().out


def test_what_a_distribution_states_is_read_once_for_all_its_components(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stated = Distribution.metadata.fget  # type: ignore[attr-defined]
    read: list[str] = []

    def counted(distribution: Distribution) -> object:
        read.append(str(distribution))
        return stated(distribution)

    found = list(entry_points(group="zu_framework"))
    monkeypatch.setattr(Distribution, "metadata", property(counted))
    plugins = load_plugins(found, disabled="")
    assert len(list(plugins.registry)) > 50
    assert len(read) <= 2 * len({point.dist for point in found})  # its name, and its version


def test_listing_imports_no_pydantic() -> None:
    code = (
        "import sys\nfrom zu_framework.cli.app import main\nmain(['plugins'])\n"
        "assert 'pydantic' not in sys.modules and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
