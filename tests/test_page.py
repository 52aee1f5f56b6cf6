"""The page of a report in a real browser: contents, folds, filters, hover, copying, keyboard, widths, accessibility.

``pip install -e ".[browser]"`` and a Chromium on the path; ``pytest -m browser``.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from handmade import make_record, trials_of

from initbench.render.page import to_html
from initbench.report.document import VIEWS, Options, document, headline

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.browser

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def html() -> str:
    """Two settings of three techniques, one of which stays at chance and one of which fails at times."""
    records = []
    for lr in (0.1, 0.2):
        for seed in range(6):
            records += [
                make_record("he", seed, 90 + seed, lr=lr),
                make_record("xavier", seed, None if seed == 3 else 80 + seed, lr=lr),
                make_record("zero", seed, 10, lr=lr),
            ]
    trials = trials_of(records)
    return to_html(document(trials, Options(baseline="he", views=VIEWS)), *headline(trials))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if BROWSER is None:
        pytest.skip("no Chromium here")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """The page, opened; what the console says against it fails the test."""
    (tmp_path / "page.html").write_text(html(), encoding="utf-8")
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    opened, complaints = context.new_page(), list[str]()
    opened.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.goto((tmp_path / "page.html").as_uri())
    yield opened
    context.close()
    assert complaints == []


def test_the_answer_and_a_figure_are_on_the_first_screen(page: Any) -> None:
    assert page.locator("h2").first.inner_text() == "The answer"
    assert page.locator("svg").first.bounding_box()["y"] < 900


def test_a_click_in_the_contents_unfolds_a_section(page: Any) -> None:
    link = page.locator("nav a", has_text="lr 0.2").first
    target = page.locator(f"h2[id='{link.get_attribute('href')[1:]}']")
    part = page.locator("details.part", has=target)
    assert part.get_attribute("open") is None
    link.click()
    page.wait_for_function("part => part.open", arg=part.element_handle())
    assert abs(target.bounding_box()["y"]) < 900
    page.get_by_role("button", name="Unfold all").click()
    assert page.evaluate("[...document.querySelectorAll('details.part')].every(part => part.open)")


def test_a_link_to_a_section_opens_it(browser: Any, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(html(), encoding="utf-8")
    opened = browser.new_page()
    opened.goto((tmp_path / "page.html").as_uri() + "#digits-mlp-depth-2-width-128-relu-lr-0-2")
    assert opened.evaluate("document.querySelector(':target').closest('details').open")
    opened.close()


def visible(page: Any, selector: str) -> list[str]:
    return page.evaluate(
        "s => [...document.querySelectorAll(s)].filter(e => !e.closest('[hidden]')).map(e => e.textContent)", selector
    )


def test_filters_leave_what_is_asked_for(page: Any) -> None:
    assert set(visible(page, "table th button")) >= {"he", "xavier", "zero"}
    page.get_by_role("searchbox", name="Technique").fill("he")
    names = set(visible(page, "table th button"))
    assert "he" in names
    assert not {"xavier", "zero"} & names
    page.get_by_role("searchbox", name="Technique").fill("")
    page.get_by_label("only what failed").check()
    assert {"xavier", "zero"} <= set(visible(page, "table th button"))
    assert "he" not in visible(page, "table th button")
    page.get_by_label("only what failed").uncheck()
    page.get_by_role("searchbox", name="Setting").fill("lr 0.2")
    titles = visible(page, "h2")
    assert any("lr 0.2" in title for title in titles)
    assert not any("lr 0.1" in title for title in titles)
    assert "of" in page.get_by_role("status").inner_text()


def test_a_point_tells_its_value(page: Any) -> None:
    page.locator("[data-value]").first.hover()
    assert page.locator("#hover").inner_text() == "lr 0.1, zero: 10.00"
    runs = page.evaluate("[...document.querySelectorAll('[data-value]')].map(e => e.dataset.value)")
    assert "he, run 1: 90.00" in runs
    assert "xavier, run 5: 85.00" in runs


def test_tables_and_commands_are_copied(page: Any) -> None:
    table = page.locator("table", has_text="lr 0.1").first
    box = page.locator(".copy", has=page.get_by_role("button", name="CSV")).first
    copied = {}
    for name in ("CSV", "Markdown", "LaTeX"):
        box.get_by_role("button").nth(["CSV", "Markdown", "LaTeX"].index(name)).click()
        copied[name] = page.evaluate("navigator.clipboard.readText()")
    assert table.count() == 1
    assert copied["CSV"].splitlines()[:2] == ["setting,zero,xavier,he", "lr 0.1,10.00 (6),82.40 (1),92.50"]
    assert copied["Markdown"].splitlines()[1] == "| --- | ---: | ---: | ---: |"
    assert copied["LaTeX"].startswith("\\begin{tabular}{lrrr}")
    assert "lr 0.1 & 10.00 (6) & 82.40 (1) & 92.50 \\\\" in copied["LaTeX"]


def test_the_keyboard_reaches_everything(page: Any) -> None:
    seen = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("document.activeElement.tagName"))
    assert {"BUTTON", "A", "INPUT", "SUMMARY", "DIV"} <= seen
    page.locator("summary", has_text="The answer").focus()
    page.keyboard.press("Enter")
    assert page.locator("details.part").first.get_attribute("open") is None


@pytest.mark.parametrize("width", [320, 768, 1280, 2560])
def test_nothing_is_wider_than_the_window(page: Any, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.get_by_role("button", name="Unfold all").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_paper_shows_every_section(page: Any, tmp_path: Path) -> None:
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.evaluate("[...document.querySelectorAll('details.part')].every(part => part.open)")
    assert not page.locator("nav").is_visible()
    assert page.pdf().startswith(b"%PDF")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(page: Any, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page.emulate_media(color_scheme=scheme)
    page.get_by_role("button", name="Unfold all").click()
    found = axe.Axe().run(page).response["violations"]
    serious = [(one["id"], one["nodes"][0]["html"][:200]) for one in found if one["impact"] in ("serious", "critical")]
    assert serious == []
