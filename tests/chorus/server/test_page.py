"""The page in a real Chromium: ask, watch, reload in the middle, read an old debate; usable by keyboard and reader."""

from __future__ import annotations

import os
import shutil

import pytest
from serving import SCRIPT, serving

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        pytest.skip("no Chromium")
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=chromium, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    checks = [{"turn": "3.*", "text": "yes", "confidence": 0.9}]
    slowly = {**SCRIPT, "turns": [*SCRIPT["turns"], *checks], "latency": {"first": 0.2, "per_token": 0.08}}
    with serving(tmp_path_factory.mktemp("page"), script=slowly) as running:
        yield running


@pytest.fixture(params=["light", "dark"])
def page(request, browser, server):
    opened = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme=request.param)
    wrong: list[str] = []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    outside: list[str] = []
    opened.on("request", lambda sent: None if sent.url.startswith((server.url, "data:")) else outside.append(sent.url))
    opened.goto(server.url)
    yield opened
    opened.close()
    assert wrong == []
    assert outside == [], "nothing is asked of anybody else"


def ask(page, question: str = "What is 7 * 8?") -> None:
    page.fill("#question", question)
    page.press("#question", "Control+Enter")


def test_voices_are_seen_as_they_speak_and_the_answer_with_its_dissent(page):
    ask(page)
    page.wait_for_selector(".seat.speaking")
    page.wait_for_selector(".edge.lit")
    page.wait_for_selector("p.answer")
    assert page.inner_text("p.answer") == "56"
    assert "changed from 54" in page.inner_text("#voices")
    assert page.locator(".seat.flipped").count() == 1
    assert page.inner_text("#support li:first-child .option") == "56"
    assert "56" in page.inner_text("#status")


def test_answers_are_seen_being_checked(page):
    page.click("text=Who speaks, and how")
    page.fill("#rounds", "1")
    page.select_option("#decision", "checked")
    ask(page)
    page.wait_for_selector("p.answer")
    assert page.inner_text("p.answer") == "56"
    assert page.locator(".turn .round", has_text="check").count() == 6
    assert page.locator(".turn .position", has_text="56 · 90% right").count() == 3


def test_what_a_model_says_is_never_html(page):
    ask(page)
    page.wait_for_selector("p.answer")
    assert "<b>surely</b>" in page.inner_text("#voices")
    assert page.locator("#voices b").count() == 0


def test_a_reload_in_the_middle_goes_on_where_it_was(page):
    ask(page)
    page.wait_for_selector(".edge.lit")
    page.reload()
    page.wait_for_selector("p.answer")
    assert page.inner_text("p.answer") == "56"
    assert "70 less 14" in page.inner_text("#voices"), "what was said before the reload"


def test_an_old_debate_is_read_and_explained(page):
    ask(page)
    page.wait_for_selector("p.answer")
    page.goto(page.url.split("#")[0])
    page.click("#past-toggle")
    page.click("#past-list li:first-child a")
    page.wait_for_selector("p.answer")
    page.click("text=Explain")
    page.wait_for_selector(".explanation")
    assert "2.skeptic changed from 54 to 56" in page.inner_text(".explanation")


def test_stop_ends_it(page):
    ask(page)
    page.wait_for_selector(".seat.speaking")
    page.click("#stop")
    page.wait_for_selector("#outcome .reason")
    assert "it was cancelled" in page.inner_text("#outcome")


def test_seats_are_reached_by_keyboard(page):
    ask(page)
    page.wait_for_selector("p.answer")
    page.focus(".seat")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.classList.contains('card')")


def test_it_fits_a_phone(page):
    page.set_viewport_size({"width": 390, "height": 800})
    ask(page)
    page.wait_for_selector("p.answer")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_a_screen_reader_finds_no_serious_fault(page):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    ask(page)
    page.wait_for_selector("p.answer")
    page.click("#past-toggle")
    found = axe.Axe().run(page)
    assert [fault["id"] for fault in found.response["violations"] if fault["impact"] in ("serious", "critical")] == []


def test_with_keys_the_page_asks_for_one(browser, tmp_path):
    from command_line import run

    secret = run("keys", "create", "Anna", cwd=tmp_path).out.strip()
    with serving(tmp_path, "--keys") as server:
        opened = browser.new_page()
        opened.goto(server.url)
        opened.fill("#key", secret)
        opened.click("#key-save")
        ask(opened)
        opened.wait_for_selector("p.answer")
        opened.close()
