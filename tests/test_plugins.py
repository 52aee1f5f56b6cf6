"""Initializers of one's own: from a file or an installed package; what they must do, and what it costs if not."""

import math
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Answer, stored

from initbench.data_driven import DATA_LAWS
from initbench.errors import InputError
from initbench.initializers.conformance import examine
from initbench.initializers.plugins import from_file, law_of
from initbench.seeding import stream
from initbench.settings.catalogue import Catalogue
from initbench.settings.compose import compose
from initbench.settings.request import Request, request
from initbench.trial import trial_key

Initbench = Callable[..., Answer]

SMALL = ("dataset=synthetic", "epochs=2", "width=16", "batch_size=32")

GOOD = '''
import numpy as np

def triangular(shape, rng, *, scale: float = 1.0):
    """Triangular on ±scale·√(6/fan_in)."""
    return _both(shape, rng) * scale * np.sqrt(6 / shape[1])

def _both(shape, rng):
    return rng.random(shape) - rng.random(shape)

def half(shape):
    return shape[0] // 2
'''


def ask(catalogue: Catalogue, *overrides: str) -> Request:
    return request(compose(overrides, catalogue), catalogue)


def write(text: str, name: str = "mine.py") -> Path:
    Path(name).write_text(text, encoding="utf-8")
    return Path(name)


def test_every_public_function_of_shape_and_rng_is_an_initializer() -> None:
    catalogue = Catalogue.of([write(GOOD)])
    assert catalogue.laws.keys() - Catalogue().laws.keys() == {"triangular"}
    law = catalogue.laws["triangular"]
    assert (law.formula, law.source, law.tier) == ("Triangular on ±scale·√(6/fan_in).", "mine.py", 3)
    assert catalogue.options("init")["triangular"] == {"name": "triangular", "law": "triangular", "scale": 1.0}
    cells = ask(catalogue, "init=triangular,he", "init.scale=1,2", "init_output=triangular").cells
    assert [(cell.init.name, dict(cell.init.params).get("scale")) for cell in cells] == [
        ("triangular", 1.0), ("triangular", 2.0), ("he", None),
    ]  # fmt: skip


def test_the_code_is_part_of_the_key() -> None:
    keys = []
    for text in (GOOD, GOOD, GOOD + "\n# changed\n"):
        catalogue = Catalogue.of([write(text)])
        (cell,) = ask(catalogue, "init=triangular").cells
        assert cell.identity(0, "x")["init"]["code"] == catalogue.laws["triangular"].code
        keys.append(trial_key(cell.identity(0, "x")))
    assert keys[0] == keys[1] != keys[2]
    (ours,) = ask(Catalogue(), "init=he").cells
    assert "code" not in ours.identity(0, "x")["init"]


def test_a_plugin_is_trained_listed_and_certified(initbench: Initbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    write(GOOD)
    answer = initbench("run", "init=triangular,he", "seeds=2", "--plugin", "mine.py", *SMALL)
    assert answer.code == 0
    assert {record["asked"]["init"] for record in stored().values()} == {"triangular", "he"}
    assert "Triangular on" in initbench("list", "init", "--plugin", "mine.py").out
    checked = initbench("list", "--check", "--plugin", "mine.py")
    assert checked.code == 0
    assert [line.split()[:3] for line in checked.out.splitlines() if line.startswith("  triangular")] == [
        ["triangular", shape, "passed"] for shape in ("128x784", "128x128", "512x128", "10x128", "64x32x3x3")
    ]


@pytest.mark.full
def test_every_initializer_of_ours_has_passing_certificates(initbench: Initbench) -> None:
    answer = initbench("list", "--check")
    assert answer.code == 0, answer.err
    assert "FAILED" not in answer.out
    for name, node in Catalogue().options("init").items():
        assert (f"{name}: prepares" if node["law"] in DATA_LAWS else f"{name} 128x784 ") in answer.out
    assert "sobol_flat 128x784: nearly low rank" in " ".join(answer.out.split())


@pytest.mark.full
def test_a_law_of_a_plugin_may_have_a_promise_and_must_keep_it(initbench: Initbench) -> None:
    text = """
from initbench.initializers import Law, Promise

def half_he(shape, rng, *, gain: float = 1.0):
    return gain * rng.standard_normal(shape) / shape[1] ** 0.5

LAWS = {"half_he": Law(half_he, "N(0, gain² / n)", "ours", 3, lambda shape, gain: Promise(0.0, %s, "normal"))}
"""
    write(text % "gain / shape[1] ** 0.5")
    assert initbench("run", "init=half_he", "seeds=1", "--plugin", "mine.py", *SMALL).code == 0
    write(text % "gain * (8 / shape[1]) ** 0.5")
    wrong = initbench("run", "init=half_he", "seeds=1", "results=other", "--plugin", "mine.py", *SMALL)
    assert wrong.code == 2
    assert "'half_he' on layers.0.weight of shape (16, 16): std 0.2" in wrong.err
    assert not Path("other").exists()
    listed = initbench("list", "--check", "--plugin", "mine.py")
    assert listed.code == 2
    assert "certificates failed; the first: half_he 128x784: std 0.035" in listed.err


# The law's body, and what the one line says of it.
BROKEN = {
    "raise RuntimeError('no\\nluck')": "RuntimeError: no luck",
    "return rng.random((2, 2))": "it returned an array of shape (2, 2)",
    "return rng.random(shape) / 0": "it returned an array that is not of finite numbers",
    "return None": "it returned an array of shape ()",
    "raise ValueError('scale must\\nbe > 0')": "scale must be > 0",
    "raise SystemExit(0)": "SystemExit: 0",
    "return np.full(shape, 1e300)": "it returned an array that is not of finite numbers",
    "return rng.random(shape) > 0.5": "it returned an array that is not of finite numbers",
    "return np.random.random(shape)": "it draws from a global generator, not from rng",
    "return np.random.default_rng().random(shape)": "the same rng gave another weight",
}


@pytest.mark.full
@pytest.mark.parametrize("body", BROKEN)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_a_plugin_that_cannot_serve_is_told_before_training(initbench: Initbench, body: str) -> None:
    write(f"import numpy as np\ndef broken(shape, rng):\n    {body}\n")
    answer = initbench("run", "init=broken", "seeds=2", "--plugin", "mine.py", *SMALL)
    assert answer.code == 2
    # Before it may stand a warning of NumPy's.
    line = answer.err.splitlines()[-1]
    assert "'broken' on layers.0.weight of shape (16, 16): " in line
    assert BROKEN[body] in line
    assert not Path("results").exists()
    # Beside others it costs them nothing.
    beside = initbench("run", "init=he,broken", "seeds=2", "--plugin", "mine.py", *SMALL)
    assert beside.code == 3
    assert f"2 of them cannot be trained: {line.removeprefix('initbench: error: ')}" in beside.err
    assert sorted(record["outcome"] for record in stored().values()) == ["failed", "failed", "ok", "ok"]
    checked = initbench("list", "--check", "--plugin", "mine.py")
    assert checked.code == 2
    assert BROKEN[body] in checked.err


def test_beside_others_it_costs_its_own_trials(initbench: Initbench) -> None:
    write("def broken(shape, rng):\n    return rng.random((2, 2))\n")
    answer = initbench("run", "init=he,broken", "seeds=2", "--plugin", "mine.py", *SMALL)
    assert answer.code == 3
    assert "2 of 4 trials failed; the first: init 'broken' on layers.0.weight of shape (16, 16): it ret" in answer.err
    assert sorted(record["outcome"] for record in stored().values()) == ["failed", "failed", "ok", "ok"]


def test_a_plugin_that_fails_in_one_trial_fails_that_trial_only(initbench: Initbench) -> None:
    write(
        """
import numpy as np
seen = 0
def moody(shape, rng):
    w = rng.standard_normal(shape) / 4
    if abs(w[0, 0] - BAD) < 1e-12:
        raise RuntimeError("not today")
    return w
BAD = None
""".replace(
            "BAD = None",
            "from initbench.seeding import stream\nBAD = stream(1, 'init', 'layers.1.weight').standard_normal() / 4",
        )
    )
    answer = initbench("run", "init=moody,he", "seeds=3", "--plugin", "mine.py", *SMALL)
    assert answer.code == 3
    assert (
        "1 of 6 trials failed; the first: init 'moody' on layers.1.weight of shape (16, 16): RuntimeError" in answer.err
    )
    outcomes = {(r["asked"]["init"], r["trial"]["seed"]): r for r in stored().values()}
    assert {key for key, record in outcomes.items() if record["outcome"] == "failed"} == {("moody", 1)}
    failed = outcomes["moody", 1]
    assert failed["error"].endswith("RuntimeError: not today")
    assert failed["n_correct"] is failed["loss"] is failed["diverged_at"] is None
    again = initbench("run", "init=moody,he", "seeds=3", "--plugin", "mine.py", *SMALL)
    assert again.code == 3
    assert "nothing to train" in again.err


# A file, and what the one line says of it.
BAD_FILES = {
    "def broken(": "cannot be run: SyntaxError",
    "import nothing_of_this_name": "cannot be run: ModuleNotFoundError",
    "x = 1 / 0": "cannot be run: ZeroDivisionError",
    "def init(rows, columns):\n    pass": "has no initializer: write a function (shape, rng, *, ...) -> array",
    "def mine(shape, rng, scale=1.0):\n    pass": "parameter 'scale' must be keyword-only",
    "def mine(shape, rng, *, scale):\n    pass": "parameter 'scale' must be keyword-only, with a number",
    "def mine(shape, rng, *, scale=[1]):\n    pass": "parameter 'scale' must be keyword-only, with a number",
    "def he_normal(shape, rng):\n    pass": "initializer 'he_normal' of mine.py: the name is taken",
    "def xavier(shape, rng):\n    pass": "initializer 'xavier' of mine.py: the name is taken",
    "def kaiming(shape, rng):\n    pass": "initializer 'kaiming' of mine.py: the name is taken",
    "LAWS = {'mine': 3}": "initializer 'mine' of mine.py is no function",
    "LAWS = {1: print}": "initializer 1 of mine.py: a name is letters, digits and _",
    "LAWS = {'he,x': print}": "initializer 'he,x' of mine.py: a name is letters, digits and _",
    "raise SystemExit(0)": "cannot be run: SystemExit: 0",
}


@pytest.mark.parametrize("text", BAD_FILES)
def test_a_file_that_is_no_plugin_is_told_in_one_line(initbench: Initbench, text: str) -> None:
    write(text)
    answer = initbench("run", "init=he", "--plugin", "mine.py")
    assert answer.code == 2
    assert BAD_FILES[text] in answer.err
    assert len(answer.err.splitlines()) == 1


def test_a_plugin_that_does_not_exist(initbench: Initbench) -> None:
    assert "plugin none.py does not exist" in initbench("list", "--check", "--plugin", "none.py").err
    assert "plugin . is a folder" in initbench("list", "--plugin", ".").err
    write("text", "plugin.txt")
    assert "plugin plugin.txt is no Python file" in initbench("list", "--plugin", "plugin.txt").err


def test_the_parameters_of_a_plugin_are_what_their_defaults_are(initbench: Initbench) -> None:
    law = "return rng.random(shape) / 9"
    write(f"def mine(shape, rng, *, k: int = -2, how: str = '', lr: float = 0.0, base: float = 2.0):\n    {law}\n")
    catalogue = Catalogue.of(["mine.py"])
    (cell,) = ask(catalogue, "init=mine", "init.k=0", "init.lr=-1", "init.how=''", "init.base=3").cells
    assert dict(cell.init.params) == {"k": 0, "how": "", "lr": -1.0, "base": 3.0}
    for line, message in {"k=1.5": "a whole number; got 1.5", "how=1": "a text; got 1"}.items():
        wrong = initbench("run", "init=mine", f"init.{line}", "--plugin", "mine.py")
        assert f"must be {message}" in wrong.err


def test_what_a_plugin_prints_is_no_result(initbench: Initbench) -> None:
    text = "print('hello')\ndef mine(shape, rng):\n    print('hello')\n    return rng.random(shape) / 9\n"
    for line in (["run", "init=mine", "seeds=1", *SMALL], ["list", "--check"], ["list", "init"]):
        # The same file is run once in a process.
        write(f"{text}# {line}\n")
        answer = initbench(*line, "--plugin", "mine.py")
        assert answer.code == 0
        assert "hello" in answer.err
        assert "hello" not in answer.out


def test_a_plugin_that_fails_only_later_fails_its_certificate(initbench: Initbench) -> None:
    write("left = [9]\ndef mine(shape, rng):\n    return left.pop() * rng.random(shape)\n")
    answer = initbench("list", "--check", "--plugin", "mine.py")
    assert answer.code == 2
    assert "the first: mine 128x784: IndexError: pop from empty list" in answer.err


def test_the_plugin_of_the_documents_works(initbench: Initbench) -> None:
    page = (Path(__file__).parents[1] / "docs" / "how-to" / "own-initializer.md").read_text(encoding="utf-8")
    blocks = re.findall("```python.*?\n(.*?)```", page, re.DOTALL)
    write(next(block for block in blocks if "def triangular" in block))
    assert initbench("list", "--check", "--plugin", "mine.py").code == 0


def test_what_conformance_finds() -> None:
    catalogue = Catalogue.of(
        [
            write(
                """
import numpy as np
import random

def global_state(shape, rng):
    return np.random.standard_normal(shape)

def python_state(shape, rng):
    return np.full(shape, random.random())

def ignores(shape, rng):
    return np.ones(shape)

def counts(shape, rng, _calls=[0]):
    _calls[0] += 1
    return np.full(shape, _calls[0])
""".replace(", _calls=[0]", "")
                .replace("_calls[0] += 1", "_calls.append(0)")
                .replace("_calls[0])", "len(_calls))")
                .replace("import random\n", "import random\n\n_calls = []\n")
            )
        ]
    )
    laws = {name: law for name, law in catalogue.laws.items() if name not in Catalogue().laws}
    found = {name: examine(name, law, {})[0] for name, law in laws.items()}
    assert "it draws from a global generator, not from rng" in found["global_state"].faults
    assert "the same rng gave another weight" in found["python_state"].faults
    assert found["counts"].faults == ("the same rng gave another weight",)
    assert found["ignores"].passed
    alike = "128 of 128 rows are another row but for the sign"
    assert found["ignores"].notes == (alike, "another rng gave the same weight")


def test_a_plugin_may_say_that_it_is_deterministic(tmp_path: Path) -> None:
    file = tmp_path / "fixed.py"
    file.write_text("""
import numpy as np
from initbench.initializers import Law

def ones(shape, rng):
    return np.ones(shape)

def normal(shape, rng):
    return rng.standard_normal(shape)

LAWS = {
    "my_ones": Law(ones, "1", "me", deterministic=True),
    "my_normal": Law(normal, "N(0, 1)", "me", deterministic=True),
}
""")
    laws = Catalogue.of([file]).laws
    (of_ones, *_), (of_normal, *_) = (examine(name, laws[name], {}) for name in ("my_ones", "my_normal"))
    assert of_ones.passed
    assert not [note for note in of_ones.notes if "another rng" in note]
    assert of_normal.faults == ("it says that it is deterministic, and another rng gave another weight",)


def test_an_installed_package_offers_initializers_by_an_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    info = site / "my_inits-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-inits\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[initbench.initializers]\nfrom_package = my_inits:spread\n")
    (site / "my_inits.py").write_text("def spread(shape, rng):\n    'Spread.'\n    return rng.random(shape) - 0.5\n")
    monkeypatch.syspath_prepend(str(site))
    catalogue = Catalogue.of()
    law = catalogue.laws["from_package"]
    assert (law.formula, law.source, law.file) == ("Spread.", "my-inits", "package:from_package")
    (cell,) = ask(catalogue, "init=from_package").cells
    assert cell.init.code == law.code != ""
    assert law_of("from_package", cell.init.code, cell.init.file) == law
    (info / "entry_points.txt").write_text("[initbench.initializers]\nfrom_package = my_inits:gone\n")
    sys.modules.pop("my_inits")
    with pytest.raises(InputError, match="initializer 'from_package' of package my-inits: AttributeError"):
        Catalogue.of()


IN_PLACE = '''
import math

import torch


def spread_(tensor, gain=2.0, generator=None):
    """U(±gain·√(3/fan_in)), in place."""
    bound = gain * math.sqrt(3 / tensor[0].numel())
    with torch.no_grad():
        return tensor.uniform_(-bound, bound, generator=generator)


def half_(tensor):
    tensor[: len(tensor) // 2] = 0.0


def helper(tensor):
    raise AssertionError
'''


def test_an_initializer_that_fills_a_tensor_in_place_is_a_law(initbench: Callable[..., Any], tmp_path: Path) -> None:
    import torch

    file = tmp_path / "mine.py"
    file.write_text(IN_PLACE, encoding="utf-8")
    plugin = from_file(file)
    assert plugin.laws == ("spread", "half")
    law = law_of("spread", plugin.code, str(file))
    assert law.defaults == {"gain": 2.0}
    before = torch.get_rng_state()
    weight = law.function((300, 75), stream(0, "init", "a"), gain=1.0)
    assert torch.equal(before, torch.get_rng_state())
    # U(±b) with b = √(3 / 75) has the standard deviation b/√3.
    assert np.abs(weight).max() <= math.sqrt(3 / 75)
    assert weight.std() == pytest.approx(math.sqrt(1 / 75), rel=0.02)
    assert (weight == law.function((300, 75), stream(0, "init", "a"), gain=1.0)).all()
    assert (weight != law.function((300, 75), stream(1, "init", "a"), gain=1.0)).any()
    small = ["dataset=synthetic", "epochs=1", "width=8", "--plugin", str(file)]
    assert initbench("run", "init=spread,he", "init.gain=1.5", "seeds=2", *small).code == 0
    answer = initbench("run", "init=half", "seeds=1", *small)
    assert answer.code == 2
    assert "it returned an array that is not of finite numbers" in answer.err
