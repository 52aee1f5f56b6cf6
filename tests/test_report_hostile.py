"""Records in which every text is an attack: every format shows the text, and nothing happens."""

import csv
import io
import re
import warnings
from collections.abc import Iterable
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest
from attacks import ATTACKS, NAMES
from handmade import ENVIRONMENT, csv_of, make_record, recorded
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.console import Console
from test_printable import acting

from initbench.analysis.trials import Trials, to_trials
from initbench.api.results import Results
from initbench.printable import printable
from initbench.records.columns import from_records
from initbench.records.schema import Environment, Header
from initbench.render import figures
from initbench.render.blocks import Block, Code, Figure, Heading, Paragraph, Table, without_figures
from initbench.render.latex import to_latex
from initbench.render.markdown import to_markdown
from initbench.render.page import to_html
from initbench.render.plots import Panels
from initbench.render.terminal import to_terminal
from initbench.report.document import Options, document, headline
from initbench.trial import Asked


def trials_called(text: str) -> Trials:
    """Two techniques of three runs, and one that failed: every text of their records, and of where they were made."""
    made = []
    for technique in ("a", "b"):
        for seed in range(3):
            (one,) = recorded([make_record("he", seed, 90 + seed)])
            named = {"name": text, text: text, "law": text}
            trial = one.trial | {
                "dataset": {"sha256": text, "standardize": text, "val": 0.2, "test": 0.2, text: text},
                "init": {"law": text, "x": technique, text: text, "scheme": text, "code": text},
                "schedule": text,
                **dict.fromkeys(("model", "activation", "optimizer", "init_first", "init_output", "bias"), named),
            }
            asked = Asked(
                dataset=text, init=f"{text}{technique}", init_first=text, init_output=text, bias=text,
                protocol={"name": text, text: text}, chosen={text: text},
                settings={"init": f"{text}{technique}", f"init.{text}": text, text: text},
            )  # fmt: skip
            failed: dict[str, Any] = {"outcome": "failed", "error": text, "n_correct": None, "loss": None}
            more = failed if (technique, seed) == ("b", 2) else {}
            made.append(
                msgspec.structs.replace(
                    one,
                    key=f"{text}{technique}{seed}",
                    trial=trial,
                    asked=asked,
                    formula=text,
                    **more,
                )
            )
    environment = Environment(**dict.fromkeys(ENVIRONMENT, text) | {"threads": 2})
    return to_trials(from_records(made, Header(format=2, finished=text, environment=environment)))


def blocks_called(text: str) -> list[Block]:
    return document(
        trials_called(text), Options(views=("strips", "pairs", "article"), baseline=f"{text}a {text}={text}")
    )


# A record is UTF-8, which has no half of a pair.
RECORDED = {name: text for name, (text, _) in ATTACKS.items() if name != "half a pair"}
PIECES = list(RECORDED.values())
HOSTILE = st.lists(
    st.one_of(st.sampled_from(PIECES), st.sampled_from(NAMES), st.text(max_size=4)), min_size=1, max_size=3
).map("".join)
EVERYTHING = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
# All at once: what every example below would show alone.
ALL = "".join(PIECES + NAMES)


def in_every_format(text: str) -> None:
    trials, blocks = trials_called(text), blocks_called(text)
    on_a_terminal(blocks, 80)
    on_a_terminal(blocks, 33)
    in_markdown(blocks)
    in_csv(trials, text)
    in_latex(blocks)
    in_html(to_html([block for block in blocks if not isinstance(block, Figure)], *headline(trials)), PAGE)
    in_html(Results(trials)._repr_html_(), FRAGMENT)


@pytest.mark.full
@pytest.mark.parametrize("attack", RECORDED)
def test_attacks_are_inert_in_every_format(attack: str) -> None:
    in_every_format(RECORDED[attack])


@pytest.mark.full
@EVERYTHING
@given(HOSTILE)
def test_no_text_is_anything_but_a_text(text: str) -> None:
    in_every_format(text)


@pytest.mark.slow
@settings(EVERYTHING, max_examples=1000)
@given(HOSTILE)
def test_no_text_is_anything_but_a_text_many_times(text: str) -> None:
    in_every_format(text)


def on_a_terminal(blocks: list[Block], width: int) -> None:
    page = io.StringIO()
    to_terminal(blocks, Console(file=page, width=width, color_system="truecolor", force_terminal=True))
    # Our own colours.
    text = re.sub(r"\x1b\[[0-9;]*m", "", page.getvalue())
    assert not acting(text.replace("\n", ""))


def in_markdown(blocks: list[Block]) -> None:
    text = to_markdown(blocks)
    assert not acting(text.replace("\n", ""))
    # GitHub makes links of these, and what parses below does not.
    outside = re.sub(r"^(`{3,}).*?^\1$", "", text, flags=re.DOTALL | re.MULTILINE)
    assert not re.search(r"(?<!\\)://|www\.", outside, re.IGNORECASE)
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    assert {token.type for token in tokens} <= {
        f"{name}_{end}" for name in ("table", "thead", "tbody", "tr", "th", "td", "heading", "paragraph") for end in
        ("open", "close")
    } | {"inline", "fence"}  # fmt: skip
    inline = [token for token in tokens if token.type == "inline"]
    assert {part.type for token in inline for part in token.children or ()} <= {"text", "strong_open", "strong_close"}
    assert [text for text in map(said, inline) if text] == [text for text in map(clean, texts_of(blocks)) if text]


def said(token: Token) -> str:
    return clean("".join(part.content for part in token.children or ()))


def clean(text: str) -> str:
    return " ".join(printable(text).split())


def texts_of(blocks: Iterable[Block]) -> Iterable[str]:
    """What a document says outside of its commands, in order."""
    for block in without_figures(blocks):
        if isinstance(block, Heading | Paragraph):
            yield block.text
        elif isinstance(block, Table):
            yield from (block.title, *block.header, *(cell for row in block.rows for cell in row), block.caption)


def in_csv(trials: Trials, text: str) -> None:
    written = csv_of(trials)
    assert not acting(written.replace("\n", ""))
    header, *rows = csv.reader(io.StringIO(written))
    assert len(rows) == len(trials) == 6
    frame = Results(trials).frame()
    assert {len(row) for row in rows} == {len(header)}
    assert header == list(frame.drop(columns="technique"))
    for row in rows:
        for name, cell in zip(header, row, strict=True):
            # Of a number in a text none is a formula.
            assert not re.search("(^|;)[=+\\-@＝＋－＠]", cell) or is_number(cell), name
    assert {row[header.index("schedule")].replace("'", "") for row in rows} == {printable(text).replace("'", "")}
    assert {row[header.index("lr")] for row in rows} == {"0.1"}


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def in_latex(blocks: list[Block]) -> None:
    text = to_latex(blocks)
    assert not acting(text.replace("\n", ""))
    commands = set(re.findall(r"\\(?:[A-Za-z]+|.)", text))
    assert commands <= LATEX, commands - LATEX
    plain = re.sub(r"\\ensuremath\{[^{}]*(\{[^{}]*\})*\}|\\.", "", text)
    assert not set(plain) & set("$#%^_")
    assert plain.count("{") == plain.count("}")
    assert not re.search(r"\\\\\s*[\[*]", text)


class Page(HTMLParser):
    """The tags of a page with their attributes, and what stands between them."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _ in attrs)))

    def handle_comment(self, data: str) -> None:
        self.tags.append(("comment", (data,)))


def in_html(text: str, tags: list[tuple[str, tuple[str, ...]]]) -> None:
    assert not acting(text.replace("\n", ""))
    assert Page(text).tags == tags


HARMLESS = trials_called("harmless")
PAGE = Page(
    to_html([block for block in blocks_called("harmless") if not isinstance(block, Figure)], *headline(HARMLESS))
).tags
FRAGMENT = Page(Results(HARMLESS)._repr_html_()).tags
# What the documents of harmless records are made of, and the spelling of characters.
SPELLED = Paragraph("".join(map(chr, [*range(0x20, 0x2300), *range(0x27E0, 0x27F0)])))
LATEX = set(re.findall(r"\\(?:[A-Za-z]+|.)", to_latex([*blocks_called("harmless"), SPELLED])))


@pytest.mark.full
@pytest.mark.parametrize("text", [ALL, "$\\frac{a}$", "初始化", "\\", "_x"])
def test_figures_hold_texts_and_no_mathematics(text: str) -> None:
    """Those of a page and those of a user's own, which are drawn with whatever settings matplotlib has then."""
    found = [block for block in blocks_called(text) if isinstance(block, Figure)]
    assert found
    for figure in found:
        drawn = ElementTree.fromstring(figures.inline(figure))
        assert {tag(node) for node in drawn.iter()} <= DRAWN
        assert not [name for node in drawn.iter() for name in node.attrib if name.lower().startswith("on")]
        shown = "".join(drawn.itertext())
        assert not acting(shown.replace("\n", ""))
        assert printable(text)[:20] in shown
        assert figures.render(figure.plot, "png").startswith(b"\x89PNG")
    with warnings.catch_warnings():
        # What a user saves may say which letters the font lacks, and that a title is larger than the figure.
        warnings.simplefilter("ignore")
        figures.draw(found[0].plot, text).savefig(io.BytesIO(), format="png")


DRAWN = {"svg", "defs", "style", "g", "path", "use", "text", "tspan", "clipPath", "rect"}


def tag(node: ElementTree.Element) -> str:
    return node.tag.rpartition("}")[2]


def test_axes_are_texts_too() -> None:
    from initbench.render.plots import Panel

    line = ((1.0, 2.0), (3.0, 4.0))
    plot = Panels("$x_{", "\x1b[31my$", (Panel("$a", (), line),))
    shown = "".join(ElementTree.fromstring(figures.render(plot, "svg")).itertext())
    assert "$x_{" in shown
    assert "\\x1b[31my$" in shown


def test_a_command_holds_no_line_of_its_own() -> None:
    """Not even in a fence of Markdown, and quoted for a shell."""
    (code,) = [block for block in blocks_called("x\n```\nrm -rf ~\n````") if isinstance(block, Code)]
    text = to_markdown([code])
    assert "\nrm" not in text
    assert text.startswith("`````\n")
    assert text.endswith("\n`````\n")


def test_numbers_in_csv_are_numbers() -> None:
    import pandas as pd

    (one,) = recorded([make_record("he", 0, 90)])
    trial = one.trial | {
        "optimizer": {"name": "sgd", "momentum": -0.5},
        "init": {"law": "constant", "value": -1.0},
        "schedule": "-1e3",
    }
    below = msgspec.structs.replace(one.loss, test=-0.5)
    trials = to_trials(from_records([msgspec.structs.replace(one, trial=trial, loss=below)]))
    table = pd.read_csv(io.StringIO(csv_of(trials)))
    assert table["test_loss"][0] == -0.5
    assert table["schedule"][0] == -1000
