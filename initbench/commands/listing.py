"""What ``initbench list`` shows: every option of a group with its formula, source and defaults. Needs no torch."""

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any

from initbench.activations import ACTIVATIONS, critical_gain, rms_gain, torch_gain
from initbench.data import SOURCES
from initbench.data_driven import DATA_LAWS
from initbench.engine.optimizers import OPTIMIZERS
from initbench.errors import InputError
from initbench.initializers import BIASES, Law
from initbench.initializers.conformance import examine
from initbench.initializers.names import ALIASES, VIEW_SOURCES, VIEWS
from initbench.initializers.schemes import SCHEMES
from initbench.models import MODELS
from initbench.render.blocks import Block, Paragraph, Table
from initbench.settings.catalogue import Catalogue, defaults
from initbench.settings.check import option
from initbench.settings.compose import compose
from initbench.settings.executors import executor
from initbench.settings.options import option_files
from initbench.settings.overrides import quoted
from initbench.settings.request import request
from initbench.settings.resolve import initializer
from initbench.settings.schema import SETTINGS, kinds, parameters
from initbench.trial import Named
from initbench.values import plain

Node = dict[str, Any]

# What a narrow window leaves out, in this order: the rest of an option is in ``initbench list NAME``.
_SPARE = ("also", "tier", "source", "defaults", "gain=critical", "gain=torch")


def listing(group: str, catalogue: Catalogue) -> Table:
    """The table of one group; a key of :data:`GROUPS`."""
    if group == "settings":
        return settings(catalogue)
    if group == "schemes":
        schemes = tuple((name, scheme.formula, scheme.source) for name, scheme in SCHEMES.items())
        of_schemes = ("init.scheme", "what differs from layer to layer", "source")
        return Table(of_schemes, schemes, left=(0, 1, 2), spare=(2,))
    folder, header, row = GROUPS[group]
    views = {name: catalogue.option("init", name) for name in VIEWS}
    nodes = views if folder == "framework" else _options(folder, catalogue)
    rows = [(name, *row(node, catalogue)) for name, node in nodes.items()]
    heads = (folder, *header)
    spare = tuple(heads.index(name) for name in _SPARE if name in heads)
    return Table(heads, tuple(rows), left=tuple(range(len(heads))), spare=spare)


def option_row(folder: str, node: Node, catalogue: Catalogue) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The columns of an option's group after its name, and what stands in them for this option."""
    header, row = next((header, row) for of, header, row in GROUPS.values() if of == folder)
    return header, row(node, catalogue)


def settings(catalogue: Catalogue) -> Table:
    """Every setting: what it may be, its default, and whether it makes other trials; then those of the options."""
    default = defaults()
    rows: list[tuple[str, ...]] = []
    for name, setting in SETTINGS.items():
        allowed = f"see list {setting.group}" if setting.group else setting.parameter.allowed
        identity = "yes" if setting.identity else "no"
        rows.append((name, allowed, _shown(default.get(name)), identity, setting.parameter.help))
    for setting in (setting for name, setting in SETTINGS.items() if setting.group == name):
        found: dict[tuple[str, str, str], dict[str, list[str]]] = {}
        for kind in kinds(setting.group, catalogue.laws):
            for p in parameters(setting.group, kind, catalogue.laws) or ():
                allowed = "see list init" if p.name == "base" and len(p.choices) > 9 else p.allowed
                default_of = "–" if p.required else _shown(p.default)
                found.setdefault((f"{setting.group}.{p.name}", allowed, p.help), {}).setdefault(default_of, []).append(
                    kind
                )
        for (name, allowed, about), by_default in sorted(found.items()):
            names = [kind for kinds_with in by_default.values() for kind in kinds_with]
            listed = ", ".join(names) if len(names) <= 4 else f"{len(names)} laws"
            what = f"{about} ({listed})" if about else f"of {listed}"
            rows.append((name, allowed, ", ".join(by_default), "yes" if setting.identity else "no", what))
    header = ("setting", "may be", "default", "identity", "what")
    return Table(header, tuple(rows), left=tuple(range(len(header))), spare=(3, 1))


def settings_of_a_run() -> list[tuple[str, str]]:
    """Every setting of a run, with what it is for, what it may be and its default."""
    default = defaults()
    told = []
    for name, setting in SETTINGS.items():
        allowed = f"initbench list {setting.group}" if setting.group else setting.parameter.allowed
        told.append((f"{name}=", f"{setting.parameter.help}: {allowed} ({_shown(default.get(name))})"))
    return [*told, ("GROUP.PARAMETER=", "a parameter of an option, such as init.std=0.05: initbench list NAME")]


def _shown(value: Any) -> str:
    return "null" if value is None else plain(list(value) if isinstance(value, tuple) else value)


def _options(folder: str, catalogue: Catalogue) -> dict[str, Node]:
    """The options of a group; a user's files are checked as a run with them would do.

    Raises:
        InputError: a user's file that no run accepts.
    """
    nodes, own = catalogue.options(folder), catalogue.config_dir
    for name, file in option_files(folder, own).items():
        if own and file.is_relative_to(own):
            node = nodes[name]
            # Rules for residual branches are refused where there are none.
            scheme = SCHEMES.get(str(node.get("scheme"))) if isinstance(node, dict) else None
            residual = ["model=residual_mlp"] if scheme and scheme.residual else []
            try:
                request(compose([f"{folder}={quoted(name)}", *residual], catalogue), catalogue)
            except InputError as error:
                raise InputError(f"{file}: {error}") from error
    return nodes


def certificates(only: Collection[str], catalogue: Catalogue) -> tuple[list[Block], list[str]]:
    """The certificates of every initializer, or of those named, and what is wrong with the ones that failed.

    Gains are those of relu, biases zeros. Of an initializer of whole networks the base law has the certificate.
    """
    rows, faults, notes = [], [], []
    for name, node in _options("init", catalogue).items():
        if only and name not in only:
            continue
        laws = catalogue.laws
        init = initializer(option("init", node, laws), Named("relu"), Named("zeros"), laws)
        if init.law in DATA_LAWS:
            notes.append(f"{name}: prepares a network that is drawn by {dict(init.params)['base']}; see there")
            continue
        law = catalogue.laws[init.law]
        assert isinstance(law, Law)
        for found in examine(name, law, dict(init.params)):
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
    # What of it a narrow window leaves out first is further from what was asked for.
    spare = tuple(header.index(name) for name in ("rank", "orth. error", "zeros", "max"))
    blocks: list[Block] = [Table(header, tuple(rows), spare=spare), *map(Paragraph, notes)]
    return blocks, faults


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _params(node: Node, *without: str) -> str:
    shown = {key: value for key, value in node.items() if key not in without and value is not None}
    return " ".join(f"{key}={f'{value:.6g}' if isinstance(value, float) else value}" for key, value in shown.items())


def _initializer(node: Node, catalogue: Catalogue) -> tuple[str, ...]:
    law = catalogue.laws[node["law"]]
    formula, params = law.formula, _params(node, "name", "law", "scheme") or "–"
    also = ", ".join(alias for alias, of in ALIASES.items() if of == node["name"]) or "–"
    if node.get("scheme"):
        rule = SCHEMES[node["scheme"]]
        own = rule.residual or rule.law
        source = rule.source if own else VIEW_SOURCES.get(node["name"], law.source)
        return "3" if own else str(law.tier), f"{formula}; {rule.formula}", params, also, source
    return str(law.tier), formula, params, also, VIEW_SOURCES.get(node["name"], law.source)


def _bias(node: Node, catalogue: Catalogue) -> tuple[str, ...]:
    policy = BIASES[node["name"]]
    return policy.formula, _params(node, "name") or "–", policy.source


def _activation(node: Node, catalogue: Catalogue) -> tuple[str, ...]:
    name, params = node["name"], {key: value for key, value in node.items() if key != "name"}
    # Gains depend on no slope that follows from a depth.
    own = {key: value for key, value in params.items() if key in ACTIVATIONS[name].defaults and value != "auto"}
    known, critical = torch_gain(name, own), critical_gain(name, 0.0, own)
    return (
        ACTIVATIONS[name].formula,
        _params(params) or "–",
        f"{rms_gain(name, own):.4f}",
        "–" if known is None else f"{known:.4f}",
        "–" if critical is None else f"{critical:.4f}",
    )


def _dataset(node: Node, catalogue: Catalogue) -> tuple[str, ...]:
    about = inspect.getdoc(SOURCES[node["source"]]) or ""
    return " ".join(about.split("\n\n")[0].split()), _params(node, "name", "source", "sha256")


def _model(node: Node, catalogue: Catalogue) -> tuple[str, ...]:
    return MODELS[node["name"]].about, _params(node, "name") or "–"


def _optimizer(node: Node, catalogue: Catalogue) -> tuple[str, ...]:
    optimizer = OPTIMIZERS[node["name"]]
    return optimizer.formula, plain(optimizer.lr), _params(node, "name") or "–", optimizer.source


def _executor(node: Node, catalogue: Catalogue) -> tuple[str, ...]:
    # One of the user's may be made of another.
    about = executor(node["name"]).about if "name" in node else f"made of {plain(node['defaults'][0])}"
    return about, _params(node, "name", "defaults") or "–"


def _preset(node: Node, catalogue: Catalogue) -> tuple[str, ...]:
    settings: dict[str, Any] = {}
    for key, value in node.items():
        inner = {f"{key}.{name}": one for name, one in value.items()} if isinstance(value, Mapping) else {key: value}
        settings |= inner if key not in ("defaults", "sweep") else {}
    sweep = node.get("sweep") or {}
    swept = sweep if isinstance(sweep, list) else [sweep]
    first = _params({**swept[0], **settings}).replace(",", ", ")
    return ("; ".join([first, *map(_params, swept[1:])]),)


# Name for the user: folder of the options, further columns, and how to fill them.
GROUPS: dict[str, tuple[str, tuple[str, ...], Callable[[Node, Catalogue], tuple[str, ...]]]] = {
    "initializers": ("init", ("tier", "law", "defaults", "also", "source"), _initializer),
    "frameworks": ("framework", ("tier", "law", "defaults", "also", "source"), _initializer),
    "biases": ("bias", ("policy", "defaults", "source"), _bias),
    "activations": ("activation", ("formula", "defaults", "gain=auto", "gain=torch", "gain=critical"), _activation),
    "datasets": ("dataset", ("what", "defaults"), _dataset),
    "models": ("model", ("what", "defaults"), _model),
    "optimizers": ("optimizer", ("law", "lr", "defaults", "source"), _optimizer),
    "protocols": ("protocol", ("defaults",), lambda node, catalogue: (_params(node, "name") or "lr",)),
    "executors": ("executor", ("what", "defaults"), _executor),
    "experiments": ("experiment", ("settings",), _preset),
    "schemes": ("scheme", (), lambda node, catalogue: ()),
    "settings": ("settings", (), lambda node, catalogue: ()),
}
