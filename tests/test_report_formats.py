"""Every format on records with everything odd in them: golden files, validity, the same bytes, a page in a browser."""

import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import Answer
from handmade import GOLDEN, csv_of, make_record, odd_records, publish, trials_of
from rich.console import Console

import initbench as api
from initbench.analysis.trials import to_table
from initbench.render import figures
from initbench.render.blocks import Block, Code, Figure, Heading, Paragraph, Table, without_figures
from initbench.render.latex import tex, to_latex
from initbench.render.markdown import to_markdown
from initbench.render.page import to_html
from initbench.render.plots import HeatMap, Panels, Ranking, Strips
from initbench.render.terminal import to_terminal
from initbench.render.text import percent
from initbench.report.document import VIEWS, Options, document, headline

FORMATS = ("md", "txt", "csv", "tex", "html")


def golden_text(suffix: str) -> str:
    trials = trials_of(odd_records())
    if suffix == "csv":
        return csv_of(trials)
    blocks = document(trials, Options(baseline="he", views=("pairs",)))
    if suffix == "txt":
        page = io.StringIO()
        to_terminal(blocks, Console(file=page, width=80))
        return page.getvalue()
    if suffix == "html":
        # How figures are drawn is another library's, and changes with its release.
        page = to_html([block for block in blocks if not isinstance(block, Figure)], *headline(trials))
        return page[page.index("<main>") : page.index("</main>")]
    return to_markdown(blocks) if suffix == "md" else to_latex(blocks)


@pytest.mark.parametrize("suffix", FORMATS)
def test_golden_files(suffix: str) -> None:
    """``python tests/handmade.py`` writes them anew; read the difference before it is committed."""
    assert golden_text(suffix) == (GOLDEN / f"report.{suffix}").read_text(encoding="utf-8")


@pytest.mark.parametrize("suffix", FORMATS)
def test_nothing_odd_is_shown_as_a_number_that_is_none(suffix: str) -> None:
    text = golden_text(suffix).replace("NaN or infinite", "")
    assert not re.search(r"\b(nan|NaN|None|inf)\b", text)


def a_grid() -> list[dict[str, Any]]:
    """Three techniques at two depths, two activations and three learning rates, three seeds, a few failures."""
    accuracy = {"he": 80, "xavier": 70, "torch_default": 60}
    return [
        make_record(
            init,
            seed,
            None if (init, lr, seed) == ("he", 0.3, 2) else base + seed - depth + round(10 * lr),
            depth=depth,
            width=[128] * depth,
            activation={"name": activation},
            lr=lr,
        )
        for init, base in accuracy.items()
        for depth in (2, 10)
        for activation in ("relu", "tanh")
        for lr in (0.03, 0.1, 0.3)
        for seed in range(3)
    ]


@pytest.fixture(scope="module")
def everything() -> list[Block]:
    return document(trials_of(a_grid()), Options(views=VIEWS))


@pytest.fixture(scope="module")
def few(everything: list[Block]) -> list[Block]:
    """Everything, but of each kind of figure one."""
    last = {block.name.split("-")[0]: block for block in everything if isinstance(block, Figure)}
    return [block for block in everything if not isinstance(block, Figure) or block in last.values()]


def test_all_views_have_their_figures_each_with_a_name_of_its_own(everything: list[Block]) -> None:
    names = [block.name for block in everything if isinstance(block, Figure)]
    assert len(set(names)) == len(names)
    kinds = {name.rstrip("0123456789").rstrip("-") for name in names}
    views = {"curves", "runs", "learning-rates", "depth", "depth-map", "activation-map", "ranks", "profile"}
    assert kinds == views | {"overview"}


@pytest.mark.full
def test_every_table_of_numbers_can_be_lifted_out_of_the_report(everything: list[Block]) -> None:
    """With the rules, the number of runs, the failures, and the law of every technique in it."""
    tables = [block.table if isinstance(block, Figure) else block for block in everything]
    tables = [table for table in tables if isinstance(table, Table) and table.caption]
    tables = [table for table in tables if table.title != "Runs in article D4"]
    assert len(tables) > 20
    for table in tables:
        assert re.search(r"momentum=0.9.*(2 epochs|epochs 2)\b.*\d runs.*failed", table.context)
        for technique in ("he", "xavier", "torch_default"):
            assert f"{technique}: N(0, std²)" in table.context
    in_text = [block for block in without_figures(everything) if isinstance(block, Table) and block.context]
    assert to_latex(everything).count("Biases are zero where nothing is said.") == len(in_text)
    assert to_html(everything, "title", "lead").count("Biases are zero where nothing is said.") == len(tables)


def test_every_number_in_prose_is_in_a_table(everything: list[Block]) -> None:
    """Results only: the protocol and the environment are told in words alone, and methods have numbers of their own."""
    method = {"0", "1", "2", "5", "80", "95", "0.05", "2,000", "4"}
    for blocks in (everything, document(trials_of(odd_records()), Options(baseline="he", views=VIEWS))):
        tables = [b.table if isinstance(b, Figure) else b for b in blocks if isinstance(b, Table | Figure)]
        shown = {number for t in tables for row in (t.header, *t.rows) for cell in row for number in numbers(cell)}
        counts = {str(len(column)) for t in tables for column in (t.rows, t.header[1:], t.header)}
        prose = [
            b.text for b in blocks if isinstance(b, Paragraph) if not b.text.startswith(("Protocol:", "Made with"))
        ]
        prose += [t.caption for t in tables]
        # Sums over settings, of runs that the tables have setting by setting.
        sums = {number for text in prose for found in re.findall(r"\((\d+) of (\d+)\)", text) for number in found}
        told = {number for text in prose for number in numbers(text)} - sums
        assert told <= shown | counts | method | least_designs(prose)
        assert len(told - method) > 0


def least_designs(prose: list[str]) -> set[str]:
    """Numbers of pairs, comparisons and of seeds that would do: tested where they are made."""
    designs = [
        re.findall(r"with (\d+) \w+ and (\d+)|; (\d+) (?:seeds|settings) would do|for (\d+) comp", text)
        for text in prose
    ]
    return {number for found in designs for groups in found for number in groups if number}


def numbers(text: str) -> list[str]:
    return re.findall(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?![\w])", text.replace("D4", ""))


def test_protocols_tell_the_records_settings() -> None:
    blocks = document(trials_of(a_grid()))
    protocols = [block.text for block in blocks if isinstance(block, Paragraph) and block.text.startswith("Protocol:")]
    assert len(protocols) == 12
    for text, lr in zip(protocols, [0.03, 0.1, 0.3] * 4, strict=True):
        assert f"sgd momentum=0.9, lr {lr:g} (cosine), 2 epochs of batches of 128" in text
        assert "600 training, 200 validation and 100 test samples" in text
        assert "Chance: 10.00 %. Target on the validation split: 90 %." in text


def test_every_table_says_what_it_shows(everything: list[Block]) -> None:
    for block in without_figures(everything):
        if isinstance(block, Table) and block.title != "Laws":
            assert block.caption.endswith(".")
            assert ("±" in "".join(block.rows[0])) <= ("±" in block.caption)


@pytest.mark.full
def test_two_renderings_are_the_same_bytes(few: list[Block]) -> None:
    for figure in few:
        if isinstance(figure, Figure):
            assert figures.inline(figure) == figures.inline(figure)
            assert figures.render(figure.plot, "png") == figures.render(figure.plot, "png")


@pytest.mark.full
def test_another_process_renders_the_same_bytes(tmp_path: Path) -> None:
    """No hash of a string, no clock and no name of this process is in a page."""
    program = (
        "import sys; sys.path[:0] = [sys.argv[1]]\n"
        "from test_report_formats import *\n"
        "made = [make_record(i, s, 90 + s) for i in ('he', 'xavier', 'zero') for s in range(3)]\n"
        "sys.stdout.write(to_html(document(trials_of(made), Options(views=VIEWS)), 't', 'l'))\n"
    )
    pages = set()
    for seed in ("1", "2"):
        arguments = [sys.executable, "-c", program, str(Path(__file__).parent)]
        environment = {"PYTHONHASHSEED": seed, "PATH": "/usr/bin", "HOME": str(tmp_path), "MPLCONFIGDIR": str(tmp_path)}
        environment["PYTHONPATH"] = ":".join(sys.path)
        pages.add(subprocess.run(arguments, env=environment, capture_output=True, text=True, check=True).stdout)
    (page,) = pages
    assert page.count("<svg") == 2


def test_a_figure_shows_what_its_table_says(everything: list[Block]) -> None:
    """No plot disagrees with the numbers beside it."""
    shown = 0
    for figure in everything:
        if not isinstance(figure, Figure):
            continue
        rows = {row[0]: row[1:] for row in figure.table.rows}
        columns = {name: [row[i] for row in figure.table.rows] for i, name in enumerate(figure.table.header)}
        if isinstance(figure.plot, Panels) and not figure.plot.steps:
            for panel in figure.plot.panels:
                told = columns[panel.name] if figure.name.startswith("curves") else rows[panel.name]
                for y, cell in zip(panel.middle[1], told, strict=False):
                    assert percent(y / 100) == cell.split(" ")[0]
                    shown += 1
        elif isinstance(figure.plot, HeatMap):
            for name, values in zip(figure.plot.rows, figure.plot.values, strict=True):
                assert [percent(y / 100) for y in values] == [cell.split(" ")[0] for cell in rows[name][: len(values)]]
                shown += len(values)
        elif isinstance(figure.plot, Strips):
            for strip in figure.plot.strips:
                assert rows[strip.name][2] == percent(strip.mean / 100)
                assert rows[strip.name][5] == " ".join(percent(value / 100) for value in strip.values)
                shown += 1
        elif isinstance(figure.plot, Ranking):
            for name, rank in zip(figure.plot.names, figure.plot.ranks, strict=True):
                assert rows[name][0] == f"{rank:.2f}"
                shown += 1
    assert shown > 100


def test_figures_are_files(everything: list[Block], tmp_path: Path) -> None:
    some = [block for block in everything if isinstance(block, Figure) and block.name in ("ranks", "depth-map-1")]
    paths = figures.write(some, tmp_path / "figures")
    assert sorted(path.name for path in paths) == ["depth-map-1.png", "depth-map-1.svg", "ranks.png", "ranks.svg"]
    for path in paths:
        start = path.read_bytes()[:5]
        assert start in (b"\x89PNG\r", b"<?xml")


def test_csv_loads_in_pandas() -> None:
    table = pd.read_csv(io.StringIO(golden_text("csv")))
    assert len(table) == len(odd_records())
    assert set(table["outcome"]) == {"ok", "slow", "stuck", "diverged", "failed"}
    assert table["test_accuracy"].isna().sum() == table["outcome"].isin(["diverged", "failed"]).sum() == 19
    assert table["error"].notna().sum() == 9
    assert table["seed"].dtype.kind == "i"


def test_latex_knows_no_character_that_it_does_not_spell() -> None:
    assert tex("50% of a_b & {x}^2 ~ $1 #3 \\") == (
        r"50\% of a\_b \& \{x\}\textasciicircum{}2 \textasciitilde{} \$1 \#3 \textbackslash{}"
    )
    text = golden_text("tex")
    assert all(ord(char) < 0x180 for char in text)
    assert "?" not in text
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == golden_text("md").count("\n| ---")


class _Page(HTMLParser):
    """Every opened element is closed, ids are unique, nothing is asked of a network."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.counts: dict[str, int] = {}

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1
        for name, value in attributes:
            assert name not in ("src", "srcset")
            assert name not in ("href", "xlink:href") or str(value).startswith("#")
            if name == "id":
                self.ids.append(str(value))
        if tag not in ("meta", "br", "path", "use", "rect", "image", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if self.open[-1:] == [tag]:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("path", "use", "rect"):
            assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_nothing(few: list[Block]) -> None:
    text = to_html(few, "A <title> & more", "lead")
    page = _Page()
    page.feed(text)
    assert not page.open
    assert len(page.ids) == len(set(page.ids))
    n_figures = sum(isinstance(block, Figure) for block in few)
    n_tables = sum(isinstance(block, Table | Figure) for block in few)
    assert (page.counts["svg"], page.counts["figure"], page.counts["table"]) == (n_figures, n_figures, n_tables)
    assert page.counts["nav"] == 1
    assert page.counts["h2"] == sum(isinstance(block, Heading) for block in few)
    assert "A &lt;title&gt; &amp; more" in text
    assert not re.search(r"https?://(?!www\.w3\.org/1999/xlink)", text)
    assert sum(isinstance(block, Code) for block in few) == page.counts["pre"] - 1


# Clicks in the page, and says in its title what came of it.
_CLICKS = """
<script>
const complaints = [];
addEventListener("error", (event) => complaints.push(event.message));
document.querySelectorAll("details").forEach((part) => { part.open = true; });
const table = [...document.querySelectorAll("table")].find((t) => t.tHead.textContent.includes("95 % interval"));
const column = [...table.tHead.rows[0].cells].findIndex((cell) => cell.textContent === "mean");
const button = table.tHead.rows[0].cells[column].querySelector("button");
const read = () => [...table.tBodies[0].rows].map((row) => row.cells[column].textContent);
button.focus();
const focused = document.activeElement === button;
button.click();
const falling = read();
const sort = table.tHead.rows[0].cells[column].getAttribute("aria-sort");
button.click();
const rising = read();
const paper = () => getComputedStyle(document.body).backgroundColor;
document.getElementById("theme").click();
const one = paper();
document.getElementById("theme").click();
const said = { n: document.querySelectorAll("table").length, svg: document.querySelectorAll("svg").length, rising,
               falling, sort, focused, themes: one !== paper(), complaints };
document.body.innerHTML = "<pre id='said'></pre>";
document.getElementById("said").textContent = JSON.stringify(said);
</script>
"""


def test_the_page_in_a_browser(few: list[Block], tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium here")
    text = to_html(few, "t", "l")
    path = tmp_path / "page.html"
    path.write_text(text.replace("</body>", f"{_CLICKS}</body>"), encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0", "--dump-dom"]
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    answer = subprocess.run(
        [browser, *flags, profile, path.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    found = re.search(r'<pre id="said">(.*?)</pre>', answer.stdout, flags=re.DOTALL)
    assert found is not None
    said = json.loads(found[1])
    assert not [line for line in answer.stderr.splitlines() if "CONSOLE" in line]
    assert said["complaints"] == []
    assert said["n"] == sum(isinstance(block, Table | Figure) for block in few)
    assert said["svg"] == sum(isinstance(block, Figure) for block in few)
    assert said["rising"] == sorted(said["rising"], key=float)
    assert said["falling"] == said["rising"][::-1]
    assert (said["sort"], said["focused"], said["themes"]) == ("descending", True, True)


@pytest.mark.full
def test_parquet_has_the_rows_and_the_types_of_the_table(initbench: Callable[..., Answer]) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    made = [make_record(init, seed, 90 + seed if seed else None) for init in ("he", "b") for seed in range(3)]
    publish(Path("results/run/records"), made)
    assert initbench("report", "--out", "trials.parquet").err == "initbench: wrote trials.parquet\n"
    read, table = parquet.read_table("trials.parquet").to_pandas(), to_table(api.load().trials)
    assert list(read) == list(table)
    assert read["test_accuracy"].dropna().tolist() == table["test_accuracy"].dropna().tolist() == [0.91, 0.92] * 2
    assert read["test_correct"].isna().tolist() == table["test_correct"].isna().tolist()
    assert read["key"].tolist() == table["key"].tolist()
    assert initbench("report", "--format", "parquet").code == 2


@pytest.mark.full
def test_what_a_page_says_of_points_moves_nothing(few: list[Block]) -> None:
    """With marks and without a figure has the same lines, in the same places."""
    for figure in few:
        if isinstance(figure, Figure):
            plain = figures.render(figure.plot, "svg", salt=figure.name).decode()
            lines = re.findall(r'<path d="([^"]+)"', plain)
            assert lines
            inlined = figures.inline(figure)
            assert "data-value" in inlined
            assert set(re.findall(r"<text[^>]*>([^<]+)<", plain)) == set(re.findall(r"<text[^>]*>([^<]+)<", inlined))


@pytest.mark.full
def test_processes_that_draw_end_without_a_word() -> None:
    # Twelve figures, as many as are drawn by several processes where there are several cores.
    made = [
        make_record(init, seed, 60 + 5 * seed, depth=depth)
        for init in ("he", "xavier", "zero") for seed in range(3) for depth in range(1, 13)
    ]  # fmt: skip
    publish(Path("results/run/records"), made)
    for _ in range(4):
        done = subprocess.run(
            [sys.executable, "-m", "initbench", "report", "--view", "strips", "--format", "html", "--out", "r.html"],
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "initbench: wrote r.html\n")
    assert Path("r.html").read_text().count("<figure>") >= 12
