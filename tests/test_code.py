"""A user's file and the modules beside it: hashed together, and run from the bytes that were hashed."""

import hashlib
import os
import py_compile
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Answer, stored

from initbench import code
from initbench.errors import InputError
from initbench.initializers import plugins
from initbench.models import code_hash
from initbench.settings.check import option
from initbench.settings.resolve import model

Initbench = Callable[..., Answer]

SMALL = ("dataset=synthetic", "epochs=1", "width=8", "depth=1", "seeds=1")

LAW = """
{}

def mylaw(shape, rng):
    return rng.standard_normal(shape) * factor()
"""

NET = """
{}
from torch import nn

def net(sample_shape, n_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(sample_shape[0], width()), nn.Linear(width(), n_classes))
"""


def write(name: str, text: str) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    # As rsync -t, an image of a container or a fast edit leave it: the time does not tell.
    os.utime(path, (1.7e9, 1.7e9))
    return path


def law_code(imports: str) -> str:
    return plugins.from_file(write("law.py", LAW.format(imports))).code


def test_a_file_without_local_modules_has_the_key_it_always_had() -> None:
    """Also beside files that it does not import, and where it imports packages."""
    text = LAW.format("import numpy as np\nimport os.path\nfrom torch import nn\ndef factor(): return 1.0")
    for name in ("os.py", "types.py", "unrelated.py", "initbench.py", "torch/README"):
        write(name, "raise RuntimeError")
    source = write("law.py", text).read_bytes()
    assert code.read(Path("law.py")).local == {}
    assert plugins.from_file(Path("law.py")).code == hashlib.blake2b(source, digest_size=8).hexdigest()
    assert code_hash(source) == hashlib.sha256(source).hexdigest()[:16]
    found = dict(model(option("model", {"name": "module", "path": f"{write('net.py', NET)}:net"}, {})).params)
    assert found["code"] == hashlib.sha256(NET.encode()).hexdigest()[:16]


IMPORTS = {
    "import helper\nfactor = helper.factor": "helper.py",
    "from helper import factor": "helper.py",
    "from helper import *": "helper.py",
    "from . import helper\nfactor = helper.factor": "helper.py",
    "from .helper import factor": "helper.py",
    "import helper as h\ndef factor(): return h.factor()": "helper.py",
    "def factor():\n    from helper import factor\n    return factor()": "helper.py",
    "try:\n    import helper\nexcept ImportError:\n    raise\nfactor = helper.factor": "helper.py",
    "from lab.helper import factor": "lab/helper.py",
    "import lab.helper\nfactor = lab.helper.factor": "lab/helper.py",
    "import lab.helper as h\nfactor = h.factor": "lab/helper.py",
    "from lab import helper\nfactor = helper.factor": "lab/helper.py",
    "from lab import factor": "lab/__init__.py",
    "from package.inner import factor": "package/deep/helper.py",
}


@pytest.mark.parametrize("imports", IMPORTS)
def test_a_local_module_is_part_of_the_hash_and_is_what_is_run(imports: str) -> None:
    write("package/__init__.py", "")
    write("package/inner.py", "from .deep import helper\nfrom package.deep.helper import factor\n")
    names, before = set(sys.modules), list(sys.path)
    codes = [law_code(imports) for value in "112" if write(IMPORTS[imports], f"def factor(): return {value}.0\n")]
    assert codes[0] == codes[1] != codes[2]
    (law,) = plugins._laws(str(Path("law.py").absolute()), codes[2]).values()
    drawn = law.function((40, 40), np.random.default_rng(0))
    assert drawn.std() == pytest.approx(2, rel=0.1)
    assert sys.path == before
    # Nobody else can import them by their own names.
    assert not {name.partition(".")[0] for name in set(sys.modules) - names} & {"helper", "lab", "package"}


def test_stale_byte_code_beside_a_file_is_never_run() -> None:
    """Python itself would run it: the size and the second of the last change are the same."""
    file = Path("law.py")
    for value in ("0.1", "0.9"):
        write("helper.py", f"def factor(): return {value}\n")
        write("law.py", LAW.format(f"from helper import factor\nown = {value}").replace("factor()", "factor() * own"))
        for path in (file, Path("helper.py")):
            if value == "0.1":
                py_compile.compile(str(path))
        plugin = plugins.from_file(file)
        drawn = plugins.law_of("mylaw", plugin.code, plugin.file).function((50, 50), np.random.default_rng(0))
        assert drawn.std() == pytest.approx(float(value) ** 2, rel=0.1)
    assert len(list(Path("__pycache__").iterdir())) == 2


def test_another_name_of_a_local_module_is_another_hash() -> None:
    for name in ("one", "two"):
        write(f"{name}.py", "def factor(): return 1.0\n")
    assert law_code("from one import factor") != law_code("from two import factor")
    first = law_code("from one import factor\nimport two")
    write("two.py", "\n")
    write("one.py", "def factor(): return 1.0\n\n")
    assert law_code("from one import factor\nimport two") != first


def test_local_modules_of_one_name_in_two_folders_do_not_meet() -> None:
    for folder, factor in (("a", 1), ("b", 3)):
        write(f"{folder}/helper.py", f"def factor(): return {factor}.0\n")
        write(f"{folder}/{folder}law.py", LAW.format("from helper import factor").replace("mylaw", f"{folder}law"))
    found = plugins.found([Path("a/alaw.py"), Path("b/blaw.py")])
    rng = np.random.default_rng
    drawn = [plugins.law_of(p.laws[0], p.code, p.file).function((40, 40), rng(0)) for p in found]
    assert (drawn[1] == 3 * drawn[0]).all()


def test_a_local_module_that_changes_in_between_is_told(initbench: Initbench) -> None:
    write("helper.py", "def factor(): return 1.0\n")
    first = law_code("from helper import factor")
    write("helper.py", "def factor(): return 2.0\n")
    plugins._laws.cache_clear()
    with pytest.raises(InputError, match="law.py or a module that it imports has changed since the command began"):
        plugins._laws(str(Path("law.py").absolute()), first)


def test_local_modules_may_import_each_other_and_have_classes() -> None:
    write("one.py", "import two\nfrom dataclasses import dataclass\n@dataclass\nclass Kept:\n    x: 'float' = 2.0\n")
    write("two.py", "import one\ndef factor(): return one.Kept().x\n")
    plugin = plugins.from_file(write("law.py", LAW.format("import one\nfrom two import factor")))
    function = plugins.law_of("mylaw", plugin.code, plugin.file).function
    assert function((2, 2), np.random.default_rng(0)).shape == (2, 2)


@pytest.mark.parametrize("text", ["def factor(: return", "raise ValueError('no')", "import nothing_of_this_name", "\0"])
def test_a_local_module_that_fails_is_told_in_one_line(initbench: Initbench, text: str) -> None:
    write("helper.py", text)
    write("law.py", LAW.format("from helper import factor"))
    answer = initbench("run", "init=mylaw", "--plugin", "law.py", *SMALL)
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert "law.py cannot be run: " in answer.err


def test_what_is_hidden_from_the_import_statements_is_not_found(initbench: Initbench) -> None:
    """The limit that is told of: nothing is run that was not hashed, as long as it is not made to be found."""
    write("helper.py", "def factor(): return 1.0\n")
    write("law.py", LAW.format("import importlib\nfactor = importlib.import_module('helper').factor"))
    answer = initbench("run", "init=mylaw", "--plugin", "law.py", *SMALL)
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert "No module named 'helper'" in answer.err


@pytest.mark.full
def test_a_changed_helper_of_a_model_or_plugin_is_another_trial(initbench: Initbench) -> None:
    """It used to be the same key, and the results of the older helper were reported for the newer one."""
    write("net.py", NET.format("from helper import width"))
    write("law.py", LAW.format("from other import factor"))
    asked = ("run", "model=module", "model.path=net.py:net", "init=mylaw", "--plugin", "law.py", *SMALL)
    n_trials = []
    for width, factor in ((4, 0.1), (5, 0.1), (5, 0.9), (4, 0.1)):
        write("helper.py", f"def width(): return {width}\n")
        write("other.py", f"def factor(): return {factor}\n")
        answer = initbench(*asked)
        assert answer.code == 0, answer.err
        n_trials.append(len(stored()))
    assert n_trials == [1, 2, 3, 3]
    shapes = [record["certificate"] for record in stored().values()]
    assert len(shapes) == 3


@pytest.mark.parametrize("path", ["/dev/zero", "fifo", "folder", "large.py", "nothing.py"])
@pytest.mark.parametrize("argument", ["--plugin={}", "model=module model.path={}:f"])
def test_what_is_no_python_file_is_never_read(initbench: Initbench, path: str, argument: str) -> None:
    os.mkfifo("fifo")
    Path("folder").mkdir()
    with open("large.py", "wb") as file:
        file.truncate(1 << 40)
    answer = initbench("run", *argument.format(path).split(), "--dry-run")
    assert answer.code == 2
    assert answer.err.count("\n") == 1
    assert path in answer.err
