"""The notebooks of the examples run from top to bottom, each in a folder of its own, and show what they say."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
EXECUTE = ROOT / "tests" / "execute_notebook.py"


def code_cells(path: Path) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]


class Shown:
    """What the cells of an executed notebook show."""

    def __init__(self, name: str) -> None:
        # Nothing of the user's: no start-up files, no settings.
        own = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
        environment = os.environ | {variable: str(Path(variable.lower()).absolute()) for variable in own}
        command = [sys.executable, str(EXECUTE), str(ROOT / "examples" / f"{name}.ipynb"), "executed.ipynb"]
        answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stderr
        outputs = [output for cell in code_cells(Path("executed.ipynb")) for output in cell["outputs"]]
        self.data = [{kind: "".join(text) for kind, text in output.get("data", {}).items()} for output in outputs]
        self.texts = [data["text/plain"] for data in self.data if "text/plain" in data]
        self.said = "".join("".join(output["text"]) for output in outputs if output["output_type"] == "stream")
        self.pictures = [base64.b64decode(data["image/png"]) for data in self.data if "image/png" in data]
        assert all(picture.startswith(b"\x89PNG") for picture in self.pictures)


@pytest.mark.full
def test_the_comparison_shows_a_table_and_plots() -> None:
    shown = Shown("comparison")
    (table,) = [data["text/html"] for data in shown.data if "Results of 48 trials" in data.get("text/html", "")]
    assert table.count("<tr>") == 1 + 6
    assert len(shown.pictures) == 2
    assert "'0.weight': ('he', 0." in shown.texts[-1]
    assert shown.said == "initbench: 48 trials: 0 already done, 48 to train on cpu\n"
    assert list(Path("results").rglob("*.jsonl"))


@pytest.mark.full
def test_a_model_of_ones_own_is_diagnosed_mended_and_raced() -> None:
    shown = Shown("own_model")
    assert any("gradient_shrinks" in text for text in shown.texts)
    assert "Nothing is wrong with this start." in shown.said
    assert any(text.startswith("Use xavier_uniform at lr=") for text in shown.texts)
    assert len(shown.pictures) == 1


@pytest.mark.full
def test_theory_stands_beside_what_is_measured() -> None:
    shown = Shown("theory")
    assert len(shown.pictures) == 3
    # χ₁ and ξ: below 1 nothing arrives, on the edge nothing is forgotten.
    assert any(text.startswith("{0.8: (0.64, nan), 1.0: (1.0, inf), 1.5: (1.139, 17.0)") for text in shown.texts)


def test_they_are_kept_without_outputs() -> None:
    assert len(NOTEBOOKS) >= 3
    for notebook in NOTEBOOKS:
        cells = code_cells(notebook)
        assert len(cells) >= 4
        assert not any(cell["outputs"] or cell["execution_count"] for cell in cells)
