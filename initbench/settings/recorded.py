"""From a record back to the request of its one trial: the inverse of :meth:`initbench.trial.Cell.identity`."""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from initbench.data import pinned
from initbench.errors import InputError
from initbench.initializers import BIASES
from initbench.settings.catalogue import Catalogue, Plain
from initbench.settings.compose import compose
from initbench.settings.overrides import quoted
from initbench.settings.request import Request, request
from initbench.settings.schema import INIT_GROUPS
from initbench.trial import VALUES, Asked, recipe_of, trial_key

# Settings that say where something lies and are part of no identity: whoever reads a record may have it elsewhere.
PLACES = ("dataset.path", "dataset.root", "model.path")
_OURS = Catalogue()


def request_of(
    trial: Mapping[str, Any], asked: Asked, places: tuple[str, ...] = (), catalogue: Catalogue = _OURS
) -> Request:
    """The request that asks for one recorded trial, and for no other.

    Args:
        trial: its identity.
        asked: how it was asked for, which names its data and says where they and its code lay.
        places: overrides of ``PLACES``: where these are here.
        catalogue: what there is to choose from, with the plugins that its initializer is from.

    Raises:
        InputError: it cannot be trained here: a name, its code or its recipe is not here as it was. Its data are not
            read.
    """
    if trial.get("recipe") != (recipe := recipe_of(trial)):
        raise InputError(f"it was trained by recipe {trial.get('recipe')}, and this initbench has recipe {recipe}")
    where = tuple(f"{key}={value}" for key, value in asked.settings.items() if key in PLACES or _reads(key, trial))
    base = _composed(asked.settings.get("dataset") or quoted(asked.dataset), (*where, *places), catalogue)
    plain = base | {group: _start(group, trial, asked, catalogue) for group in INIT_GROUPS}
    plain |= {name: trial[name] for name in ("activation", "optimizer", "depth", *VALUES)}
    plain["dataset"] = base["dataset"] | {
        key: value for key, value in trial["dataset"].items() if key in base["dataset"]
    }
    plain["dataset"] |= {"sha256": trial["dataset"]["sha256"], "split": trial["dataset"].get("split", "fixed")}
    if trial["model"]["name"] != "module":
        plain["model"] = trial["model"]
    elif "channels" in trial["model"]:
        plain["model"] = base["model"] | {"channels": trial["model"]["channels"]}
    plain["bias"] = _bias(trial["bias"], asked.bias)
    plain |= {"width": list(trial["width"]), "seeds": [trial["seed"]], "protocol": {"name": "fixed"}, "options": None}
    wanted = request([plain], catalogue)
    (cell,) = wanted.cells
    cell = replace(cell, dataset=pinned(cell.dataset))
    found = cell.identity(trial["seed"], trial["dataset"]["sha256"])
    if trial_key(found) != trial_key(trial):
        raise InputError(_unlike(trial, found))
    return replace(wanted, cells=(cell,))


def _reads(key: str, trial: Mapping[str, Any]) -> bool:
    """Whether a setting says how data are read, of which an identity has the content alone."""
    group, _, name = key.partition(".")
    return group == "dataset" and bool(name) and name not in trial["dataset"]


@lru_cache(maxsize=64)
def _composed(dataset: str, places: tuple[str, ...], catalogue: Catalogue) -> Plain:
    """The defaults, with a data set and the places of what lies in files."""
    model = ["model=module"] if any(text.startswith("model.path=") for text in places) else []
    (plain,) = compose([f"dataset={dataset}", *model, *places], catalogue)
    return plain


def _start(group: str, trial: Mapping[str, Any], asked: Asked, catalogue: Catalogue) -> Plain | None:
    """What the weights of some layers start from; the hash of its code is looked at when all is known."""
    node = trial.get(group)
    if node is None:
        return None
    if node.get("code") and node["law"] not in catalogue.laws:
        raise InputError(f"its {group} '{node['law']}' is of a plugin that is not here; name it with --plugin")
    return {
        "name": getattr(asked, group) or node["law"],
        **{key: value for key, value in node.items() if key != "code"},
    }


def _bias(node: Mapping[str, Any], name: str) -> Plain:
    """The policy by the name that it was asked for by; two names may be of one law."""
    known = name in BIASES and BIASES[name].law == node["law"]
    return {"name": name if known else node["law"], **{key: value for key, value in node.items() if key != "law"}}


def _unlike(trial: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """Why what is here is not what was recorded."""
    parts = [group for group in found if trial.get(group) != found[group]]
    for group in parts:
        was, now = trial.get(group), found[group]
        code = [node.get("code") for node in (was, now) if isinstance(node, Mapping)]
        if code != [None] * len(code) and len(set(code)) > 1:
            return f"the code of its {group} is not here as it was: it had the hash {code[0]}, not {code[1]}"
    return f"its {', '.join(parts) or 'identity'} cannot be asked for in this version"
