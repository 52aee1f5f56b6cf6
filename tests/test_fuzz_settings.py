"""Settings of any kind are answered with a request or with one line: overrides and files that are made at random.

``pytest -m slow tests/test_fuzz_settings.py`` tries ``LONG`` examples of each kind, the default suite ``SHORT``.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from initbench.errors import InputError
from initbench.settings.catalogue import Catalogue
from initbench.settings.compose import compose
from initbench.settings.options import option_files, read, unprintable
from initbench.settings.overrides import parse, parse_filters, quoted
from initbench.settings.request import request
from initbench.settings.schema import GROUPS, SETTINGS

SHORT, LONG = 40, 20_000
# A composition takes a hundred times as long as a parse.
QUICKLY = 25


def answered(work: Callable[[], object]) -> None:
    """The work is done, or refused in one line that a terminal can show."""
    said = ""
    try:
        work()
    except InputError as error:
        said = str(error)
    assert not unprintable(said), said
    assert len(said) < 2000


# Options, settings, and words of Hydra's and YAML's own.
NAMES = sorted({name for group in GROUPS.values() for name in option_files(group)})
WORDS = ["null", "true", "nan", "-inf", "1e999", "-0.0", "0x1f", "1_000", "_target_", "_self_", "hydra", "???", "1:30"]
words = st.sampled_from([*NAMES, *SETTINGS, *WORDS, "${depth}", "${oc.env:HOME}", "${", "~", "auto", "search.lr"])
numbers = st.integers() | st.floats() | st.integers(-3, 12)
keys = st.sampled_from([*SETTINGS, "init.std", "init.gain", "optimizer.momentum", "protocol.search.lr", "bias.std"])
keys |= st.builds("{}.{}".format, st.sampled_from(sorted(GROUPS)), words)
leaves = words | numbers.map(str) | st.text(max_size=8).map(quoted)
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda items: f"[{','.join(items)}]"),
        st.lists(inner, max_size=4).map(",".join),
        st.lists(st.tuples(words, inner), max_size=3).map(lambda items: f"{{{','.join(map(':'.join, items))}}}"),
        st.builds("{}({})".format, st.sampled_from(["choice", "range", "glob", "sort", "int", "str", "tag"]), inner),
        st.builds("range({},{},{})".format, numbers, numbers, numbers),
    ),
    max_leaves=6,
)
overrides = st.builds("{}{}={}".format, st.sampled_from(["", "", "", "", "+", "~", "++"]), keys, values)
# Nearly right: characters of an override in any order.
overrides |= st.text(st.sampled_from("abihe01.,=()[]{}:'\"\\$@~+-_ \n\0\x1b\u202e"), max_size=30)

yaml_leaves = words | numbers | st.booleans() | st.none() | st.text(max_size=8)
yaml_values = st.recursive(
    yaml_leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys | words | yaml_leaves, inner, max_size=4),
    max_leaves=10,
)
options = st.dictionaries(keys | words | st.sampled_from(["name", "law", "std", "source"]), yaml_values, max_size=6)
presets = st.fixed_dictionaries(
    {},
    optional={
        "sweep": st.dictionaries(keys, values, max_size=3) | yaml_values,
        "defaults": st.lists(words | st.dictionaries(words.map("override /{}".format), words, max_size=2), max_size=3),
        "depth": yaml_leaves,
        "init": yaml_values,
        "seeds": yaml_values,
        "protocol": yaml_values,
    },
)
dumped = st.builds(yaml.safe_dump, options | presets | yaml_values, default_flow_style=st.booleans())
# As it is written, cut, or with something in its middle.
fragments = st.sampled_from(["&a ", "*a", "!!python/name:os.system ", "<<: ", "- ", "? ", "| \n", "---\n", "%YAML 9\n"])
texts = dumped | st.builds(lambda text, n, more: text[:n] + more + text[n:], dumped, st.integers(0, 60), fragments)
texts |= st.text(max_size=40)


def tried(n: int, work: Callable[[Any], object], *made: st.SearchStrategy[Any]) -> None:
    """Hypothesis keeps nothing between runs: what it finds becomes a line of ``test_hostile_settings.py``."""

    @settings(
        max_examples=n,
        phases=[Phase.generate],
        deadline=None,
        database=None,
        derandomize=n <= SHORT,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.tuples(*made))
    def one(example: tuple[Any, ...]) -> None:
        answered(lambda: work(*example))

    one()


n_examples = pytest.mark.parametrize(
    "n", [pytest.param(SHORT, marks=pytest.mark.full), pytest.param(LONG, marks=pytest.mark.slow)]
)


@n_examples
def test_overrides_and_filters(n: int) -> None:
    groups = Catalogue().groups()

    def work(texts: list[str]) -> None:
        parse(texts, groups)
        parse_filters(texts)

    tried(n, work, st.lists(overrides, max_size=3))


@n_examples
def test_files(n: int, tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"

    def work(text: str) -> None:
        file.write_bytes(text.encode(errors="surrogatepass"))
        read(file)

    tried(n, work, texts)


@n_examples
def test_requests_of_overrides(n: int) -> None:
    tried(n // QUICKLY + 10, lambda texts: request(compose(texts)), st.lists(overrides, max_size=3))


@n_examples
def test_requests_of_files(n: int) -> None:
    def work(group: str, text: str, more: str, override: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, group, "mine.yaml")
            file.parent.mkdir()
            header = "# @package _global_\n" * (group == "experiment")
            file.write_bytes((header + text).encode(errors="surrogatepass"))
            catalogue = Catalogue.of(config_dir=folder)
            given = [f"{group}={more}mine", *([override] if override else [])]
            request(compose(given, catalogue), catalogue)

    groups = st.sampled_from(sorted(GROUPS.values()))
    tried(n // QUICKLY + 10, work, groups, texts, st.sampled_from(["", "", "glob(*),"]), st.just("") | overrides)
