"""Whatever a law or a module does is the outcome of its trial: the others have the results they would have had."""

import subprocess
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import hostile
import pytest
from conftest import Answer, stored
from hostile import DEEDS, NAN, STUCK

import initbench as api
from initbench import records
from initbench.errors import in_one_line

Initbench = Callable[..., Answer]

Records = dict[str, dict[str, Any]]

NET = ("model=module", "model.path=net.py:net", "dataset=synthetic", "batch_size=64", "epochs=2")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Records:
    """What the trials are like when nothing is done to them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("undisturbed"))
        hostile.write()
        api.run(*NET, seeds=1 + len(DEEDS), quiet=True)
        return stored()


def held(whole: Records, seeds: Collection[int]) -> Records:
    """The records, after it has been seen that all but those of some seeds are as ever."""
    found = stored()
    others = {key: record for key, record in found.items() if record["trial"]["seed"] not in seeds}
    assert others == {key: record for key, record in whole.items() if key in others}
    return {record["trial"]["seed"]: record for key, record in found.items() if key not in others}


@pytest.mark.full
def test_what_a_module_does_is_the_outcome_of_its_trial(initbench: Initbench, undisturbed: Records) -> None:
    seeds = DEEDS.keys() - {STUCK}
    hostile.write(*seeds)
    line = ("run", *NET, "seeds=[0,1,2,3,4,5,6,7,8,9,10,11,13]")
    answer = initbench(*line)
    assert answer.code == 3, answer.err
    assert "Traceback" not in answer.err
    found = held(undisturbed, seeds)
    assert found.keys() == seeds
    assert found.pop(NAN)["outcome"] == "diverged"
    for seed, record in found.items():
        assert record["outcome"] == "failed"
        assert record["error"].startswith(DEEDS[seed][1])
        assert "\n" not in record["error"]
    assert "initbench: 11 of 13 trials failed; the first: RuntimeError: no luck" in answer.err.splitlines()
    # They have their records, so there is nothing to do.
    again = initbench(*line)
    assert (again.code, "nothing to train" in again.err) == (3, True)


@pytest.mark.full
def test_a_module_that_hangs_is_ended(initbench: Initbench, undisturbed: Records) -> None:
    hostile.write(STUCK)
    answer = initbench("run", *NET, f"seeds=[0,{STUCK}]", "timeout=2")
    assert answer.code == 3
    assert held(undisturbed, [STUCK])[STUCK]["error"] == DEEDS[STUCK][1]


@pytest.mark.full
def test_what_failed_is_trained_again_when_asked_for(initbench: Initbench, undisturbed: Records) -> None:
    line = ("run", *NET, "seeds=3")
    hostile.write(2)
    assert initbench(*line).code == 3
    assert "2 done, 1 to do" in initbench(*line, "--retry", "failed", "--dry-run").out
    assert "3 done, 0 to do" in initbench(*line, "--dry-run").out
    assert initbench(*line, "--retry", "failed").code == 3
    assert held(undisturbed, [2])[2]["outcome"] == "failed"
    hostile.write()
    results = api.run(*NET, seeds=3, retry="failed", quiet=True)
    assert results.errors == []
    assert held(undisturbed, []) == {}
    # No report knows of the failure any more.
    assert "failed" not in initbench("report", "--format", "csv").out
    assert "nothing to train" in initbench(*line, "--retry", "failed").err
    with pytest.raises(api.InputError, match="unknown retry 'all', did you mean 'failed'"):
        api.run(*NET, retry="all")  # type: ignore[arg-type]


LAWS = {
    "raise": "raise RuntimeError('no luck')",
    "base": "raise BaseException('no luck')",
    "generator": "raise GeneratorExit",
    "exit": "os._exit(3)",
    "segfault": "ctypes.string_at(0)",
    "memory": "raise MemoryError",
    "nan": "return np.full(shape, np.nan)",
    "surrogate": "raise ValueError('broken \\udcff\\ud800 text')",
}
SMALL = ("dataset=synthetic", "width=8", "epochs=1", "seeds=2")


@pytest.mark.full
def test_a_law_that_can_never_be_drawn_fails_and_the_others_are_trained(initbench: Initbench) -> None:
    Path("laws.py").write_text(
        "import ctypes, os\nimport numpy as np\n"
        + "".join(f"def law_{name}(shape, rng):\n    {deed}\n" for name, deed in LAWS.items())
    )
    assert initbench("run", "init=he,xavier", *SMALL, "results=whole").code == 0
    names = ",".join(f"law_{name}" for name in LAWS)
    answer = initbench("run", f"init=he,{names},xavier", *SMALL, "--plugin", "laws.py")
    assert answer.code == 3
    found, whole = stored(), stored("whole")
    assert len(found) == 2 * (2 + len(LAWS))
    assert {key: record for key, record in found.items() if record["outcome"] == "ok"} == whole
    errors = {record["asked"]["init"]: record["error"] for record in found.values() if record["error"]}
    assert "RuntimeError: no luck" in errors["law_raise"]
    assert "BaseException: no luck" in errors["law_base"]
    assert "GeneratorExit" in errors["law_generator"]
    assert errors["law_exit"] == "exited with code 3"
    assert errors["law_segfault"] == "killed by signal SIGSEGV"
    assert errors["law_memory"] == "ran out of memory"
    assert "not of finite numbers" in errors["law_nan"]
    assert "broken ?? text" in errors["law_surrogate"]
    assert f"2 of them cannot be trained: {errors['law_exit']}" in answer.err
    # What cannot start at all is wrong with the request: nothing is kept of it.
    alone = initbench("run", "init=law_segfault", *SMALL, "--plugin", "laws.py", "results=none")
    assert (alone.code, alone.err) == (2, "initbench: error: killed by signal SIGSEGV\n")
    assert not Path("none").exists()


@pytest.mark.full
@pytest.mark.skipif(sys.platform != "linux", reason="limits the memory of a process")
def test_a_network_that_does_not_fit_into_memory_is_an_outcome() -> None:
    line = f"run init=he depth=2 width=64,30000,32 {' '.join(SMALL[:1] + SMALL[2:])}"
    command = f"ulimit -v 6000000; exec '{sys.executable}' -m initbench {line}"
    answer = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, env=hostile.around())
    assert answer.returncode == 3, answer.stderr
    found = {(record["trial"]["width"][0], record["trial"]["seed"]): record for record in stored().values()}
    assert {at: record["outcome"] for at, record in found.items() if at[0] != 30000} == dict.fromkeys(
        [(64, 0), (64, 1), (32, 0), (32, 1)], "ok"
    )
    for seed in (0, 1):
        assert found[30000, seed]["error"].startswith("ran out of memory: ")


@pytest.mark.parametrize("raised", [BaseException, GeneratorExit, SystemExit, StopIteration, RecursionError])
def test_a_plugin_that_raises_is_one_line(initbench: Initbench, raised: type[BaseException]) -> None:
    Path("mine.py").write_text(f"raise {raised.__name__}('no luck')")
    answer = initbench("run", *SMALL, "--plugin", "mine.py")
    assert (answer.code, answer.err) == (
        2,
        f"initbench: error: plugin mine.py cannot be run: {raised.__name__}: no luck\n".replace(
            "plugin mine.py", f"plugin {Path('mine.py').absolute()}"
        ),
    )
    with pytest.raises(KeyboardInterrupt), in_one_line("a user"):
        raise KeyboardInterrupt


@pytest.mark.full
def test_what_users_code_prints_is_no_result_and_harms_no_message(
    initbench: Initbench,
) -> None:
    Path("mine.py").write_text(
        "import os, sys\n"
        "def loud(shape, rng):\n"
        "    print('said')\n    os.write(1, b'{\"type\":\"Done\"}\\n')\n    os.write(2, b'\\xff\\n')\n"
        "    return 0.1 * rng.standard_normal(shape)\n"
    )
    quiet = initbench("run", "init=he", *SMALL)
    answer = initbench("run", "init=loud", *SMALL, "--plugin", "mine.py")
    assert answer.code == quiet.code == 0
    assert "said" not in answer.out
    assert answer.err.count("said\n") >= 2
    assert len(records.load([Path("results")])) == 4
