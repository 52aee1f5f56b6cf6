"""What ``initbench list NAME`` shows: one option in full."""

import re
from collections.abc import Mapping
from typing import Any

from initbench.commands.listing import GROUPS, option_row
from initbench.errors import folded, unknown
from initbench.initializers import Law
from initbench.initializers.names import ALIASES, VIEWS, canonical, in_any_case
from initbench.models import MODELS
from initbench.render.blocks import Block, Code, Heading, Table
from initbench.settings.catalogue import Catalogue
from initbench.settings.check import option
from initbench.settings.resolve import draws_images, initializer, unsuited
from initbench.settings.schema import KIND, SETTINGS, parameters
from initbench.trial import Named
from initbench.values import plain

# Columns of a list that the table of parameters and the line of other names tell in full.
_TOLD_BELOW = ("defaults", "also")
# The weight of which promises are told: of the first layer of a perceptron on MNIST.
_SHAPE = (128, 784)


def entries(name: str, catalogue: Catalogue) -> list[tuple[str, str]]:
    """The group and the name of every option that is called so, in any case or by an alias.

    Raises:
        InputError: there is none.
    """
    found = []
    for folder in dict.fromkeys(folder for folder, *_ in GROUPS.values()):
        if folder in ("framework", "scheme", "settings"):
            continue
        names = [*catalogue.options(folder), *(VIEWS if folder == "init" else ())]
        wanted = canonical(name) if folder == "init" else name
        alike = [other for other in names if other == wanted] or [o for o in names if folded(o) == folded(wanted)]
        alike = alike or [other for other in names if folder == "init" and other == in_any_case(name)]
        found += [(folder, one) for one in alike]
    if not found:
        groups = [folder for folder, *_ in GROUPS.values()]
        known = {one for folder in groups[:2] for one in catalogue.groups().get(folder, ())}
        raise unknown("name or group", name, {*GROUPS, *known, *ALIASES})
    return found


def entry(folder: str, name: str, catalogue: Catalogue) -> list[Block]:
    """Everything that is known of one option."""
    node = catalogue.option(folder, name)
    header, cells = option_row(folder, node, catalogue)
    rows = [("name", name)]
    aliases = sorted(alias for alias, of in ALIASES.items() if folder == "init" and of == name)
    rows += [("also", ", ".join(aliases))] if aliases else []
    rows += [(what, cell) for what, cell in zip(header, cells, strict=True) if cell != "–" and what not in _TOLD_BELOW]
    link = dict(rows).get("source", "") + " " + dict(rows).get("law", "")
    found = re.search(r"arXiv:(\d{4}\.\d{4,5})", link)
    rows += [
        ("sets", cell) for what, cell in zip(header, cells, strict=True) if what == "defaults" and folder == "dataset"
    ]
    rows += [("link", f"https://arxiv.org/abs/{found[1]}")] if found else []
    if folder == "init":
        rows += [("promise", told)] if (told := _promise(node, catalogue)) else []
        suits, refusals = _models(node, catalogue)
        rows += [("for", ", ".join(suits)), *(("not for", refusal) for refusal in refusals)]
    blocks: list[Block] = [Heading(f"{folder}={name}"), Table(("", ""), tuple(rows), left=(0, 1))]
    own = _parameters(folder, node, catalogue)
    return [*blocks, *([own] if own else []), *([Code((_example(folder, name),))] if folder in SETTINGS else [])]


def as_plain(folder: str, name: str, catalogue: Catalogue) -> dict[str, Any]:
    """The same as plain JSON values."""
    blocks = entry(folder, name, catalogue)
    facts, *tables = [block for block in blocks if isinstance(block, Table)]
    listed = [dict(zip(table.header, row, strict=True)) for table in tables for row in table.rows]
    return {
        "group": folder,
        **{row[0]: row[1] for row in facts.rows},
        "parameters": listed,
        "example": _example(folder, name),
    }


def _parameters(folder: str, node: Mapping[str, Any], catalogue: Catalogue) -> Table | None:
    found = parameters(folder, str(node.get(KIND.get(folder, "name"))), catalogue.laws) or ()
    rows = tuple(
        (f"{folder}.{p.name}", "–" if p.required else plain(node.get(p.name, p.default)), p.allowed, p.help or "–")
        for p in found
        if not (p.name == "base" and len(p.choices) > 9)
    )
    return Table(("parameter", "default", "may be", "what"), rows, left=(0, 1, 2, 3)) if rows else None


def _promise(node: Mapping[str, Any], catalogue: Catalogue) -> str:
    """What every run certifies of a weight; the gain is that of relu."""
    init = initializer(option("init", dict(node), catalogue.laws), Named("relu"), Named("zeros"), catalogue.laws)
    law = catalogue.laws[init.law]
    if not isinstance(law, Law) or law.promise is None:
        return ""
    try:
        promise = law.promise(_SHAPE, **dict(init.params))
    # Laws of convolutions promise nothing of a matrix.
    except (ValueError, IndexError):
        return ""
    parts = [f"mean {promise.mean:.4g}", f"standard deviation {promise.std:.4g}"]
    parts += [f"no entry beyond {promise.bound:.4g}"] if promise.bound is not None else []
    parts += [f"{promise.zeros:,} zeros"] if promise.zeros else []
    parts += [f"{promise.gain:.4g} times orthonormal rows or columns"] if promise.gain is not None else []
    return f"of a weight {_SHAPE[0]} x {_SHAPE[1]}, for relu: {', '.join(parts)}; certified in every run"


def _models(node: Mapping[str, Any], catalogue: Catalogue) -> tuple[list[str], list[str]]:
    """The models it can start, and why it cannot start others."""
    law = catalogue.laws[node["law"]]
    suits, refusals = [], []
    for name in MODELS:
        if name == "module":
            continue
        model, depth = catalogue.option("model", name), max(2, MODELS[name].least_depth)
        refusal = unsuited(node, model, depth)
        drawn = not isinstance(law, Law) or draws_images(law, dict(node), model, depth)
        if refusal is None and drawn:
            suits.append(f"model={name}")
        else:
            refusals.append(refusal or f"model={name}: the law does not draw its convolutions")
    return suits or ["your own modules"], list(dict.fromkeys(refusals))


def _example(folder: str, name: str) -> str:
    beside = {"init": f"init={name},{'xavier' if name == 'he' else 'he'}", "experiment": f"experiment={name}"}
    return f"initbench run {beside.get(folder, f'{folder}={name} init=he,xavier')}"
