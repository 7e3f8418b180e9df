"""The page in a real browser: it sorts and filters, shows hostile text as text, asks no network, fits a phone."""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.reporting.conftest import HOSTILE

pytestmark = pytest.mark.slow

QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("no chromium with its chromedriver here: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in (*QUIET, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    os.environ["SE_OFFLINE"] = "true"  # selenium itself asks no network either
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield started
    started.quit()


@pytest.fixture
def shown(browser: Any, whole_run: Path) -> Any:
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.get((whole_run / "report.html").as_uri())
    return browser


def column(browser: Any, number: int) -> list[str]:
    script = "return [...document.querySelectorAll('#facts-table tbody tr')].filter(r => !r.hidden)"
    found: list[str] = browser.execute_script(
        f"{script}.map(r => r.cells[{number}].dataset.value ?? r.cells[{number}].innerText)"
    )
    return found


def click(browser: Any, number: int) -> str:
    header = f"document.querySelectorAll('#facts-table thead th')[{number}]"
    browser.execute_script(f"{header}.querySelector('button').click()")
    state: str = browser.execute_script(f"return {header}.getAttribute('aria-sort')")
    return state


def test_it_sorts_numbers_as_numbers_and_texts_as_texts(shown: Any) -> None:
    assert click(shown, 5) == "descending"
    before = [float(value) for value in column(shown, 5)]
    assert before == sorted(before, reverse=True) and len(before) == 5
    assert click(shown, 5) == "ascending"
    assert [float(value) for value in column(shown, 5)] == sorted(before)
    assert click(shown, 2) == "ascending"
    answers = column(shown, 2)
    assert answers.index("Polish") < answers.index("teacher") < answers.index("Vienna")


def test_it_filters_by_words_and_by_set(shown: Any) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.select import Select

    form = shown.find_element(By.CSS_SELECTOR, "form[data-filters=facts-table]")
    assert form.find_element(By.TAG_NAME, "output").text == "5 of 5 rows"
    form.find_element(By.NAME, "text").send_keys("capital VERANIA")
    assert form.find_element(By.TAG_NAME, "output").text == "1 of 5 rows"
    assert column(shown, 2) == ["Vienna"]
    form.find_element(By.NAME, "text").clear()
    Select(form.find_element(By.CSS_SELECTOR, "select[data-key=set]")).select_by_visible_text("retain")
    assert column(shown, 0) == ["retain", "retain"]


def test_a_hostile_fact_is_shown_as_text_and_nothing_is_asked_of_the_network(shown: Any) -> None:
    from selenium.webdriver.common.by import By

    assert HOSTILE in shown.find_element(By.TAG_NAME, "body").text
    assert not shown.execute_script("return document.images.length")
    assert shown.execute_script("return document.scripts.length") == 1
    assert [entry for entry in shown.get_log("browser") if entry["level"] == "SEVERE"] == []
    # the browser's own start page asks for its own parts
    asked = [
        message["params"]["request"]["url"]
        for message in (json.loads(entry["message"])["message"] for entry in shown.get_log("performance"))
        if message["method"] == "Network.requestWillBeSent"
        and message["params"]["documentURL"].startswith("file:")
    ]
    assert asked and all(url.startswith("file:") and url.endswith("report.html") for url in asked)


def test_the_policy_stops_a_script_that_slipped_in(browser: Any, whole_run: Path, tmp_path: Path) -> None:
    said = (whole_run / "report.html").read_text("utf-8")
    (tmp_path / "bad.html").write_text(
        said.replace("<main>", "<main><script>document.title = 'taken'</script>")
    )
    browser.get((tmp_path / "bad.html").as_uri())
    assert browser.title != "taken"
    assert any("Content Security Policy" in entry["message"] for entry in browser.get_log("browser"))


@pytest.mark.parametrize("width", [320, 390])
def test_a_phone_scrolls_it_downwards_alone(shown: Any, width: int) -> None:
    size = {"width": width, "height": 800, "deviceScaleFactor": 2, "mobile": True}
    shown.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    wide = shown.execute_script("return document.documentElement.scrollWidth")
    assert wide <= width


def test_dark_mode_turns_page_and_plots(shown: Any) -> None:
    def colours() -> list[str]:
        shades: list[str] = shown.execute_script(
            "return [getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color,"
            "getComputedStyle(document.querySelector('svg.plot text')).fill]"
        )
        return shades

    def prefer(value: str) -> None:
        shown.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": value}]}
        )

    prefer("light")
    light = colours()
    prefer("dark")
    dark = colours()
    prefer("")
    assert all(a != b for a, b in zip(light, dark, strict=True))


def test_it_prints(shown: Any) -> None:
    printed = shown.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})
    assert base64.b64decode(printed["data"]).startswith(b"%PDF")
