"""The commands that train the trials of a section, as they were asked for."""

import shlex
from collections.abc import Mapping, Sequence

from initbench.analysis.compare import Comparison
from initbench.analysis.trials import Identity, searched
from initbench.settings.schema import SETTINGS
from initbench.trial import Asked
from initbench.values import exact

# What no command line could say.
_UNTOLD = ("name", "law", "sha256", "code", "function", "scheme", "geometric")
# Of each setting the values it takes; a command trains all combinations.
Product = dict[str, tuple[str, ...]]


def commands(comparison: Comparison, setting: int) -> tuple[str, ...]:
    """A command for every product of settings and seeds that the section's trials are made of."""
    section = comparison.section(setting)
    by_seeds: dict[str, list[Product]] = {}
    for technique in comparison.present(setting):
        cell = comparison.cells[setting, technique]
        asked = comparison.trials.columns.cells[cell].asked
        seeds = section["seed"][section["technique"] == technique]
        # The seeds of a search follow from the protocol.
        listed = "" if asked.stage == "search" else _seeds(sorted({int(seed) for seed in seeds}))
        own: Product = {key: (value,) for key, value in overrides(asked, comparison.trials.identities[cell]).items()}
        by_seeds.setdefault(listed, []).append(own)
    lines = []
    for listed, products in by_seeds.items():
        for product in merged(products):
            parts = [f"{key}={','.join(values)}" for key, values in product.items()]
            lines.append("initbench run " + " ".join(map(shlex.quote, filter(None, [*parts, listed]))))
    return tuple(lines)


def _seeds(seeds: Sequence[int]) -> str:
    return f"seeds={len(seeds)}" if seeds == list(range(len(seeds))) else f"seeds={exact(seeds)}"


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


def overrides(asked: Asked, identity: Identity) -> dict[str, str]:
    """The settings of a trial as the command line has them, as they were asked for.

    Of a record that does not say how, every parameter is spelled out, under the names that it has.
    """
    if asked.settings:
        # Before there was a choice all splits were fixed, and nobody asked for it.
        fixed = identity["dataset"].get("split") == "fixed" and "dataset.split" not in asked.settings
        return dict(asked.settings) | ({"dataset.split": "fixed"} if fixed else {})
    own, found = searched(identity), dict[str, str]()
    for key in SETTINGS:
        node = identity.get(key)
        if node is None or key in own or (key == "protocol" and not own):
            continue
        if isinstance(node, Mapping):
            found[key] = str(node["name"])
            inner = {name: value for name, value in node.items() if name not in _UNTOLD}
            found |= {f"{key}.{name}": exact(value) for name, value in inner.items()}
        else:
            found[key] = exact(node)
    return found
