"""What ``initbench list`` shows: every option of a group with its formula, source and defaults. Needs no torch."""

import inspect
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from initbench.activations import ACTIVATIONS, critical_gain, rms_gain, torch_gain
from initbench.data import SOURCES
from initbench.data_driven import DATA_LAWS, INITIALIZERS
from initbench.errors import InputError
from initbench.initializers import BIASES, LAWS
from initbench.initializers.conformance import examine
from initbench.initializers.names import VIEW_SOURCES, VIEWS
from initbench.initializers.schemes import BRANCHES
from initbench.models import MODELS
from initbench.render.blocks import Block, Paragraph, Table
from initbench.settings.compose import compose, option, option_files, options, quoted
from initbench.settings.request import request
from initbench.settings.resolve import initializer
from initbench.trial import Named

Node = dict[str, Any]


def listing(group: str, config_dir: Path | None = None) -> Table:
    """The table of one group; a key of :data:`GROUPS`."""
    folder, header, row = GROUPS[group]
    nodes = {name: option("init", name) for name in VIEWS} if folder == "framework" else _options(folder, config_dir)
    rows = [(name, *row(node)) for name, node in nodes.items()]
    return Table((folder, *header), tuple(rows), left=tuple(range(len(header) + 1)))


def _options(folder: str, config_dir: Path | None) -> dict[str, Node]:
    """The options of a group; a user's files are checked as a run with them would do.

    Raises:
        InputError: a user's file that no run accepts.
    """
    nodes = options(folder, config_dir)
    for name, file in option_files(folder, config_dir).items():
        if config_dir and file.is_relative_to(config_dir):
            node = nodes[name]
            # Rules for residual branches are refused where there are none.
            scheme = BRANCHES.get(str(node.get("branches"))) if isinstance(node, dict) else None
            residual = ["model=residual_mlp"] if scheme and scheme.branches else []
            try:
                request(compose([f"{folder}={quoted(name)}", *residual], config_dir))
            except InputError as error:
                raise InputError(f"{file}: {error}") from error
    return nodes


def certificates(only: Collection[str] = (), config_dir: Path | None = None) -> tuple[list[Block], list[str]]:
    """The certificates of every initializer, or of those named, and what is wrong with the ones that failed.

    Gains are those of relu, biases zeros. Of an initializer of whole networks the base law has the certificate.
    """
    rows, faults, notes = [], [], []
    for name, node in _options("init", config_dir).items():
        if only and name not in only:
            continue
        init = initializer(node, Named("relu"), Named("zeros"))
        if init.law in DATA_LAWS:
            notes.append(f"{name}: prepares a network that is drawn by {dict(init.params)['base']}; see there")
            continue
        for found in examine(name, LAWS[init.law], dict(init.params)):
            shape = "x".join(map(str, found.shape))
            asked = (None, None) if found.promise is None else (found.promise.mean, found.promise.std)
            figures: tuple[float | None, ...] = (asked[0], found.mean, asked[1], found.std, found.maximum)
            figures += (found.zeros, found.orthogonality, found.stable_rank)
            verdict = "passed" if found.passed else "FAILED"
            rows.append((f"{name} {shape}", verdict, *map(_figure, figures)))
            faults += [f"{name} {shape}: {fault}" for fault in found.faults]
            notes += [f"{name} {shape}: {note}" for note in found.notes]
    header = (
        "initializer",
        "certificate",
        "mean asked",
        "mean",
        "std asked",
        "std",
        "max",
        "zeros",
        "orth. error",
        "rank",
    )
    blocks: list[Block] = [Table(header, tuple(rows)), *map(Paragraph, notes)]
    return blocks, faults


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _params(node: Node, *without: str) -> str:
    shown = {key: value for key, value in node.items() if key not in without and value is not None}
    return " ".join(f"{key}={f'{value:.6g}' if isinstance(value, float) else value}" for key, value in shown.items())


def _initializer(node: Node) -> tuple[str, ...]:
    law = INITIALIZERS[node["law"]]
    formula, params = law.formula, _params(node, "name", "law", "branches") or "–"
    if node.get("branches"):
        rule = BRANCHES[node["branches"]]
        source = rule.source if rule.branches else VIEW_SOURCES.get(node["name"], law.source)
        return "3" if rule.branches else str(law.tier), f"{formula}; {rule.formula}", params, source
    return str(law.tier), formula, params, VIEW_SOURCES.get(node["name"], law.source)


def _bias(node: Node) -> tuple[str, ...]:
    policy = BIASES[node["name"]]
    return policy.formula, _params(node, "name") or "–", policy.source


def _activation(node: Node) -> tuple[str, ...]:
    name, params = node["name"], {key: value for key, value in node.items() if key != "name"}
    known, critical = torch_gain(name, params), critical_gain(name, 0.0, params)
    return (
        ACTIVATIONS[name].formula,
        _params(params) or "–",
        f"{rms_gain(name, params):.4f}",
        "–" if known is None else f"{known:.4f}",
        "–" if critical is None else f"{critical:.4f}",
    )


def _dataset(node: Node) -> tuple[str, ...]:
    about = inspect.getdoc(SOURCES[node["source"]]) or ""
    return " ".join(about.split("\n\n")[0].split()), _params(node, "name", "source", "sha256")


def _preset(node: Node) -> tuple[str, ...]:
    settings = {f"{key}": value for key, value in node.items() if key not in ("defaults", "sweep")}
    return (_params({**(node.get("sweep") or {}), **settings}).replace(",", ", "),)


# Name for the user: folder of the options, further columns, and how to fill them.
GROUPS: dict[str, tuple[str, tuple[str, ...], Callable[[Node], tuple[str, ...]]]] = {
    "initializers": ("init", ("tier", "law", "defaults", "source"), _initializer),
    "frameworks": ("framework", ("tier", "law", "defaults", "source"), _initializer),
    "biases": ("bias", ("policy", "defaults", "source"), _bias),
    "activations": ("activation", ("formula", "defaults", "gain=auto", "gain=torch", "gain=critical"), _activation),
    "datasets": ("dataset", ("what", "defaults"), _dataset),
    "models": ("model", ("what", "defaults"), lambda node: (MODELS[node["name"]].about, _params(node, "name") or "–")),
    "optimizers": ("optimizer", ("defaults",), lambda node: (_params(node, "name"),)),
    "protocols": ("protocol", ("defaults",), lambda node: (_params(node, "name") or "lr",)),
    "experiments": ("experiment", ("settings",), _preset),
}
