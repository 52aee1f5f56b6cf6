"""Whose matrix product: a rule and never a stopwatch, a setting above it, and a record of what it was."""

import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import scipy
import torch
from conftest import Answer, stored

from initbench import processors, records
from initbench.cache import cache_folder
from initbench.engine.compiled import blas
from initbench.errors import InputError
from initbench.settings.completion import complete
from initbench.settings.request import Request
from initbench.settings.schema import BLAS

Initbench = Callable[..., Answer]

SMALL = ("init=he", "dataset=synthetic", "seeds=1", "epochs=2", "depth=1", "width=64")
MKL = pytest.mark.skipif(blas.ROUTES["mkl"]() is None, reason="this torch has no MKL")


@pytest.fixture(autouse=True)
def _chosen_anew() -> Any:
    blas._choice.cache_clear()
    yield
    blas._choice.cache_clear()


def made_by(folder: str) -> set[str | None]:
    return {header.environment.blas for header in records.load([Path(folder)]).headers.values()}


def test_every_blas_is_as_accurate_as_float32() -> None:
    for route in blas.routes():
        assert blas.is_accurate(route), route.name
    assert ("auto", *blas.ROUTES) == BLAS


def test_a_product_in_bfloat16_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    product = blas.product

    def rounded(route: blas.Blas, a: Any, b: Any, times: int = 1) -> Any:
        if route.name != first.name:
            return product(route, a, b, times)
        return (torch.tensor(a).bfloat16() @ torch.tensor(b).bfloat16()).float().numpy()

    first, *others = [blas.chosen(), *(route for route in blas.routes() if route.name != blas.chosen().name)]
    word = next(name for name, found in blas.ROUTES.items() if (route := found()) and route.name == first.name)
    blas._choice.cache_clear()
    monkeypatch.setattr(blas, "product", rounded)
    with pytest.raises(InputError, match=f"blas={word}: {first.name} multiplies less accurately.*; use blas=auto or"):
        blas.chosen(word)
    if others:
        assert blas.chosen().name == others[0].name
        assert f"but {first.name} multiplies less accurately than float32 here" in blas.reason()


def test_no_stopwatch_and_no_file_has_a_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """The choice used to be timed once and kept: on a busy machine the slower product, and other bits for ever."""
    by_rule = blas.chosen().name

    def stopped(*_: object) -> NoReturn:
        raise AssertionError("a clock was read")

    blas._choice.cache_clear()
    for clock in ("time", "perf_counter", "perf_counter_ns", "monotonic", "thread_time", "process_time"):
        monkeypatch.setattr(time, clock, stopped)
    cache_folder().mkdir()
    others = {route.name: 1.0 if route.name == by_rule else 1000.0 for route in blas.routes()}
    machine = f"{platform.node()} {processors.processor()} torch {torch.__version__} scipy {scipy.__version__}"
    (cache_folder() / "blas.json").write_text(json.dumps({"machine": machine, "gflops": others}))
    assert blas.chosen().name == by_rule
    assert [path.name for path in cache_folder().iterdir()] == ["blas.json"]


@MKL
@pytest.mark.parametrize(("vendor", "name"), [("GenuineIntel", "torch's MKL"), ("AuthenticAMD", "SciPy's BLAS")])
def test_the_rule_reads_the_processor(monkeypatch: pytest.MonkeyPatch, vendor: str, name: str) -> None:
    monkeypatch.setattr(processors, "_cpuinfo", {"vendor_id": vendor}.get)
    assert blas.chosen().name == name
    assert "Intel" in blas.reason()


def test_where_torch_has_no_mkl_the_other_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "ROUTES", {**blas.ROUTES, "mkl": lambda: None})
    assert blas.chosen().name == "SciPy's BLAS"
    with pytest.raises(InputError, match="^blas=mkl: this torch has no MKL; use blas=auto or blas=scipy$"):
        blas.chosen("mkl")


@MKL
def test_the_setting_wins_is_recorded_and_makes_no_other_trial(initbench: Initbench) -> None:
    for name, product in {"mkl": "torch's MKL", "scipy": "SciPy's BLAS"}.items():
        answer = initbench("run", f"blas={name}", f"results={name}", "--verbose", *SMALL)
        assert made_by(name) == {product}
        assert f"threads, a network each; products by {product} (blas={name})\n" in answer.err
    mkl, scipy = stored("mkl"), stored("scipy")
    assert mkl.keys() == scipy.keys()
    (one,), (other,) = mkl.values(), scipy.values()
    assert one["weights"]["initial"] == other["weights"]["initial"]
    assert one["asked"] == other["asked"]


def test_a_network_that_torch_trains_takes_torchs_own(initbench: Initbench) -> None:
    assert initbench("run", "model.norm=layer", "blas=scipy", *SMALL).code == 0
    assert made_by("results") == {"torch's own"}


@MKL
@pytest.mark.full
def test_an_initializer_that_trains_is_given_the_same_product(initbench: Initbench) -> None:
    training = ("init=pretrain_autoencoder", "init.epochs=5", "dataset=synthetic", "seeds=1", "epochs=1", "depth=2")
    initial = []
    for name in ("mkl", "scipy", "mkl"):
        initbench("run", f"blas={name}", f"results={name}{len(initial)}", "width=100", *training)
        initial += [record["weights"]["initial"] for record in stored(f"{name}{len(initial)}").values()]
    assert initial[0] == initial[2]
    assert initial[0] != initial[1]


def test_it_is_a_setting_like_others(initbench: Initbench) -> None:
    answer = initbench("run", "blas=openblas", *SMALL)
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert "unknown blas 'openblas'" in answer.err
    assert "Choose from: auto, mkl, scipy" in answer.err
    assert initbench("run", "blas=mkl,scipy", *SMALL).code == 2
    assert complete([], "blas=") == ["blas=auto", "blas=mkl", "blas=scipy"]


def test_a_request_of_an_earlier_version_means_auto() -> None:
    made = Request((), (0,), "cpu", Path("results"), "run", blas="scipy")
    assert Request.from_json(made.to_json()).blas == "scipy"
    earlier = json.loads(made.to_json())
    del earlier["blas"]
    assert Request.from_json(json.dumps(earlier).encode()).blas == "auto"


def test_a_timing_is_by_the_threads_own_clock_and_the_routes_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the clock on the wall a median of short rounds gave one route half its rate on a shared core."""
    asked, now = list[str](), [0.0]
    cost = {route.name: 0.25 * (number + 1) for number, route in enumerate(blas.routes())}

    def product(route: blas.Blas, a: Any, b: Any, times: int = 1) -> Any:
        asked.append(route.name)
        now[0] += cost[route.name] * (1 if len(asked) > 2 * len(cost) else 100)
        return np.zeros(0)

    monkeypatch.setattr(blas, "product", product)
    monkeypatch.setattr(time, "thread_time", lambda: now[0])
    monkeypatch.setattr(time, "perf_counter", None)
    rates = blas.gflops(blas.routes(), rounds=3)
    # Two shapes a turn, and four turns, of which the first, slow as a first one is, does not count.
    assert asked == [name for _ in range(4) for name in cost for _ in range(2)]
    first = next(iter(cost))
    assert rates == pytest.approx({name: rates[first] * cost[first] / cost[name] for name in cost})
