"""The notebook of the examples runs from top to bottom, in a folder of its own, and shows what it says it shows."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "examples" / "comparison.ipynb"
EXECUTE = ROOT / "tests" / "execute_notebook.py"


def code_cells(path: Path) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]


@pytest.mark.full
def test_the_notebook_shows_a_table_and_plots(tmp_path: Path) -> None:
    # Nothing of the user's: no start-up files, no settings.
    own = {
        name: str(tmp_path / name.lower())
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    }
    command = [sys.executable, str(EXECUTE), str(NOTEBOOK), "executed.ipynb"]
    answer = subprocess.run(command, env=os.environ | own, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr

    outputs = [output for cell in code_cells(Path("executed.ipynb")) for output in cell["outputs"]]
    data = [{kind: "".join(text) for kind, text in output.get("data", {}).items()} for output in outputs]
    (table,) = [shown["text/html"] for shown in data if "Results of 48 trials" in shown.get("text/html", "")]
    assert table.count("<tr>") == 1 + 6
    pictures = [base64.b64decode(shown["image/png"]) for shown in data if "image/png" in shown]
    assert len(pictures) == 2
    assert all(picture.startswith(b"\x89PNG") for picture in pictures)
    assert "'0.weight': ('he', 0." in data[-1]["text/plain"]
    said = "".join("".join(output["text"]) for output in outputs if output["output_type"] == "stream")
    assert said == "initbench: 48 trials: 0 already done, 48 to train on cpu\n"
    assert list(Path("results").rglob("*.jsonl"))


def test_it_is_kept_without_outputs() -> None:
    cells = code_cells(NOTEBOOK)
    assert len(cells) >= 5
    assert not any(cell["outputs"] or cell["execution_count"] for cell in cells)
