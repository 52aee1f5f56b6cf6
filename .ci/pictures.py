"""Of every initializer a picture: singular values of a matrix that it draws, and a signal on its way through layers.

And where it trained: what the published records of the whole catalogue say.
"""

import io
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, StrMethodFormatter

import initbench
from initbench.activations import ACTIVATIONS
from initbench.initializers.conformance import drawn
from initbench.initializers.laws import Law
from initbench.processors import processors
from initbench.render.figures.style import STYLE
from initbench.seeding import stream
from initbench.settings.catalogue import Catalogue
from initbench.settings.check import option
from initbench.settings.resolve import initializer
from initbench.trial import Init, Named

WIDTH, DEPTH, SAMPLES = 128, 20, 64
_CATALOGUE = Catalogue()
SHOWN = ("relu", "tanh")
CAPTION = (
    f"A weight of {WIDTH} x {WIDTH} for relu, seed 0: its singular values, the largest first; and the size (rms) of "
    f"what {DEPTH} such layers hand on, for standard normal inputs, each drawn for its activation. Of an initializer "
    "that goes on from data or differs by layer it is what it begins with."
)
CATALOGUE = Path(__file__).parents[1] / "results" / "published" / "catalogue"


def pictures(names: list[str]) -> dict[str, bytes]:
    """Name to a file of SVG; a law that draws no matrices has none. Names of the same numbers share theirs."""
    same: dict[str, list[str]] = {}
    for name in names:
        same.setdefault(repr([_law(name, activation) for activation in SHOWN]), []).append(name)
    with ProcessPoolExecutor(processors(), mp_context=get_context("fork")) as pool:
        drawn_once = pool.map(picture, [alike[0] for alike in same.values()])
        found = list(zip(same.values(), drawn_once, strict=True))
    return {name: svg for alike, svg in found for name in alike if svg}


def picture(name: str) -> bytes:
    """One of them; empty where there is none."""
    try:
        values = np.linalg.svd(layers(name, "relu", 1)[0].astype(float), compute_uv=False)
        sizes = {activation: signal(layers(name, activation, DEPTH), activation) for activation in SHOWN}
    except ValueError:
        return b""
    # A layout that is given is not looked for, which takes most of the time.
    style = {**STYLE, "svg.hashsalt": name, "figure.constrained_layout.use": False, "xtick.minor.visible": False}
    with mpl.rc_context(style):
        figure = Figure(figsize=(7.2, 2.4))
        spectrum, depth = figure.subplots(1, 2)
        figure.subplots_adjust(left=0.08, right=0.98, bottom=0.18, top=0.95, wspace=0.25)
        spectrum.plot(np.arange(1, WIDTH + 1), values)
        spectrum.set(xlabel="singular value, by rank", ylabel="size", ylim=(0, None))
        for activation, size in sizes.items():
            depth.plot(np.arange(1, DEPTH + 1), size, label=activation)
        if all((size > 0).all() for size in sizes.values()):
            depth.set_yscale("log")
            depth.yaxis.set_minor_locator(NullLocator())
            depth.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            low, high = depth.get_ylim()
            depth.set_ylim(min(low, 0.1), max(high, 10))
        depth.set(xlabel="layer", ylabel="rms of its output")
        depth.legend()
        file = io.BytesIO()
        figure.set_facecolor("white")
        FigureCanvasSVG(figure).print_svg(file, metadata={"Date": None, "Creator": None})
    return file.getvalue()


def layers(name: str, activation: str, depth: int) -> list[np.ndarray[Any, np.dtype[np.float32]]]:
    """The weights of so many layers, each from a stream of its own.

    Raises:
        ValueError: its law draws no matrices.
    """
    name, params = _law(name, activation)
    law = _CATALOGUE.laws[name]
    assert isinstance(law, Law)
    shape = (WIDTH, WIDTH)
    return [drawn(law, shape, stream(0, "init", f"layers.{number}.weight"), params) for number in range(depth)]


def _law(name: str, activation: str) -> tuple[str, dict[str, Any]]:
    """What an initializer draws a layer by: a law and its parameters."""
    laws = _CATALOGUE.laws

    def started(one: str) -> Init:
        return initializer(
            option("init", _CATALOGUE.option("init", one), laws), Named(activation), Named("zeros"), laws
        )

    init = started(name)
    if not isinstance(laws[init.law], Law):
        init = started(str(dict(init.params)["base"]))
    return init.law, dict(init.params)


def signal(weights: list[np.ndarray[Any, np.dtype[np.float32]]], activation: str) -> Any:
    """The rms of what each layer hands on; what is infinite is left out."""
    here = stream(0, "data").standard_normal((SAMPLES, WIDTH))
    found = []
    with np.errstate(all="ignore"):
        for weight in weights:
            here = ACTIVATIONS[activation].function(here @ weight.T.astype(float))
            found.append(np.sqrt(np.mean(here**2)))
    return np.array(found)


def trained() -> dict[str, str]:
    """Name to a table in Markdown: how it ended in the published comparison of the whole catalogue."""
    frame = initbench.load(CATALOGUE).frame()
    rows: dict[str, list[str]] = {}
    for (name, depth), runs in frame.groupby(["init", "depth"], observed=True):
        ok = runs[~runs["outcome"].isin(["diverged", "failed"])]
        mean = f"{100 * ok['test_accuracy'].mean():.2f}" if len(ok) else "–"
        failed, stuck = len(runs) - len(ok), int((ok["outcome"] == "stuck").sum())
        rows.setdefault(str(name), []).append(f"| {depth} | {len(runs)} | {mean} | {failed} | {stuck} |")
    about = frame.iloc[0]
    setting = (
        f"{about['dataset']}, a perceptron of width {str(about['width']).split()[0]}, {about['activation']}, "
        f"{about['optimizer']}, lr {about['lr']:g}, {about['epochs']} epochs, one learning rate for all: "
        "[all of it](../../results/published/catalogue.md)."
    )
    head = ["| depth | runs | test accuracy in %, mean of those that finished | failed | at chance |"]
    head += ["| ---: | ---: | ---: | ---: | ---: |"]
    return {name: "\n".join([setting, "", *head, *lines]) for name, lines in rows.items()}
