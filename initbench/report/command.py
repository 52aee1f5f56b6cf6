"""The commands that train the trials of a section: every setting that its option does not bring by itself."""

import shlex
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from initbench.analysis.compare import Comparison
from initbench.analysis.trials import Trial, searched
from initbench.errors import InputError
from initbench.settings.catalogue import Catalogue
from initbench.settings.resolve import bias_policy, initializer, named_activation
from initbench.trial import Named
from initbench.values import exact

# Of each setting the values it takes; a command trains all combinations.
Product = dict[str, tuple[str, ...]]


def command(comparison: Comparison, setting: int) -> str:
    """One line for every product of settings that the section's trials are made of; seeds are those of any of them."""
    cells = [comparison.trials.identities[comparison.cells[setting, t]] for t in comparison.present(setting)]
    seeds = sorted(int(seed) for seed in comparison.section(setting)["seed"].unique())
    listed = f"seeds={len(seeds)}" if seeds == list(range(len(seeds))) else f"seeds={exact(seeds)}"
    # The seeds of a search follow from the protocol.
    last = [] if cells[0]["stage"] == "search" else [listed]
    lines = []
    for product in merged([{key: (value,) for key, value in overrides(cell).items()} for cell in cells]):
        parts = [f"{key}={','.join(values)}" for key, values in product.items()]
        lines.append("initbench run " + " ".join(map(shlex.quote, [*parts, *last])))
    return "\n".join(lines)


def merged(products: Sequence[Product]) -> list[Product]:
    """The same combinations as fewer products: two that differ in one setting are one."""
    result: list[Product] = []
    for product in products:
        for place, other in enumerate(result):
            if product.keys() != other.keys():
                continue
            differing = [key for key in product if product[key] != other[key]]
            if len(differing) <= 1:
                more = {key: tuple(dict.fromkeys((*other[key], *product[key]))) for key in differing}
                result[place] = other | more
                break
        else:
            result.append(product)
    return result if len(result) == len(products) else merged(result)


def overrides(cell: Trial) -> dict[str, str]:
    """The settings of a trial as the command line has them: names, and what differs from the options of these names."""
    activation = _named(cell["activation"])
    bias = _named(cell["bias"])
    result = _of_group("dataset", cell["dataset"])
    for group in ("init", "init_first", "init_output"):
        if cell[group] is not None:
            name = cell[group]["name"]
            result |= {group: name, **_differing(group, cell[group], _default_init(name, activation, bias))}
    own_bias = {"name": bias.name, **dict(bias.params)}
    if own_bias != _default_bias(None, cell["init"]["name"], activation):
        result |= {"bias": bias.name, **_differing("bias", own_bias, _default_bias(bias.name, "", activation))}
    result |= _of_group("model", cell["model"])
    if cell["model"]["name"] == "module":
        result["model.path"] = f"FILE.py:{cell['model'].get('function', 'FUNCTION')}"
    result |= {key: exact(cell[key]) for key in ("depth", "width") if cell[key] is not None}
    result |= {"activation": activation.name, **_differing("activation", cell["activation"], {})}
    result |= {key: exact(cell[key]) for key in ("lr", "epochs", "batch_size")}
    result |= _of_group("optimizer", cell["optimizer"])
    result |= {key: exact(cell[key]) for key in ("schedule", "warmup")}
    own = searched(cell)
    result = {key: text for key, text in result.items() if key not in own}
    if not own:
        return result
    # What the option searches and this one did not.
    left_out = {key for key in _option("protocol", cell["protocol"]["name"]) or {} if key.startswith("search.")}
    result |= {f"protocol.{key}": "null" for key in sorted(left_out - cell["protocol"].keys())}
    return result | _of_group("protocol", cell["protocol"])


def _named(node: Mapping[str, Any]) -> Named:
    return Named(node["name"], tuple(sorted((key, value) for key, value in node.items() if key not in ("name", "law"))))


def _differing(group: str, node: Mapping[str, Any], brought: Mapping[str, Any] | None) -> dict[str, str]:
    """What a group's option does not bring; nothing where the option is not known here, as a user's own file."""
    if brought is None:
        return {}
    own = {key: exact(value) for key, value in node.items() if key not in ("name", "sha256", "code", "function")}
    return {f"{group}.{key}": text for key, text in own.items() if key not in brought or exact(brought[key]) != text}


def _of_group(group: str, node: Mapping[str, Any]) -> dict[str, str]:
    return {group: node["name"], **_differing(group, node, _option(group, node["name"]))}


@lru_cache(maxsize=256)
def _option(group: str, name: str) -> dict[str, Any] | None:
    """What an option brings; None if there is none of the name."""
    defaults: Mapping[str, Any] = {"test": 0.0} if group == "dataset" else {}
    try:
        return {**defaults, **Catalogue().option(group, name)}
    except InputError:
        return None


@lru_cache(maxsize=1024)
def _default_init(name: str, activation: Named, bias: Named) -> dict[str, Any] | None:
    """An option's identity with every gain resolved; None if there is none of the name, or it cannot serve here."""
    node = _option("init", name)
    try:
        return node and initializer(node, _checked(activation), bias).identity()
    except InputError:
        return None


@lru_cache(maxsize=1024)
def _default_bias(policy: str | None, init: str, activation: Named) -> dict[str, Any]:
    """The identity of a policy by its name, or of the one that an initializer brings."""
    node = _option("bias", policy) if policy else None
    found = bias_policy(node, _option("init", init) or {}, _checked(activation))
    return {"name": found.name, **dict(found.params)}


def _checked(activation: Named) -> Named:
    return named_activation({"name": activation.name, **dict(activation.params)})
