"""The documentation site is built without a warning, from installed packages alone, and answers within two clicks."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from initbench.initializers.names import VIEWS
from initbench.settings.catalogue import Catalogue

pytest.importorskip("material")
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return folder


@pytest.mark.full
def test_every_initializer_has_its_page_with_formula_and_source(site: Path) -> None:
    names = [*Catalogue().options("init"), *VIEWS]
    assert len(names) > 80
    for name in names:
        page = (site / "reference" / "initializers" / f"{name.replace('@', '-in-')}.html").read_text(encoding="utf-8")
        assert "<td>law</td>" in page
        assert "<td>source</td>" in page
        picture = re.findall(r'<img alt="What [^"]+" src="([^"]+)"', page)
        assert len(picture) == 1
        assert (site / "reference" / "initializers" / picture[0]).read_bytes().count(b"<path") > 10
    he = (site / "reference" / "initializers" / "he.html").read_text(encoding="utf-8")
    # As results/published/catalogue.md has it.
    assert re.search(r"Where it trained.*<td[^>]*>2</td>\s*<td[^>]*>5</td>\s*<td[^>]*>97.67</td>", he, re.DOTALL)


@pytest.mark.full
def test_each_question_is_one_click_from_the_start_page(site: Path) -> None:
    page = (site / "index.html").read_text(encoding="utf-8").split('id="where-to-look"')[1].split("</table>")[0]
    links = re.findall(r'<a href="([^"#]+)(?:#([^"]+))?">', page)
    assert len(links) >= 15
    for target, anchor in links:
        text = (site / target).read_text(encoding="utf-8")
        assert not anchor or f'id="{anchor}"' in text


@pytest.mark.full
def test_no_page_asks_a_network_for_anything(site: Path) -> None:
    loaded = re.compile(r'<(?:script|img|iframe)[^>]+src="https?:|rel="stylesheet"[^>]+href="https?:')
    for page in site.rglob("*.html"):
        assert not loaded.findall(page.read_text(encoding="utf-8")), page
