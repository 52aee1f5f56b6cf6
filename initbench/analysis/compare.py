"""What is compared and what is held equal: every trial gets a technique (a column) and a setting (a section)."""

import itertools
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from initbench.analysis.articles import D4
from initbench.analysis.trials import Identity, Trials, first_of, natural, node_of, searched, settings, value_of
from initbench.errors import InputError, unknown
from initbench.tasks import TASKS, USUAL, Score, Task
from initbench.trial import START_GROUPS
from initbench.values import exact


@dataclass(frozen=True)
class Comparison:
    """Trials with their technique and setting.

    Attributes:
        by: the setting whose values are compared, e.g. ``init``.
        trials: the trials, in the order of ``frame``.
        frame: one row per trial, as :meth:`Trials.frame` gives it, with ``setting`` and ``technique`` as codes.
        settings: what the trials of each section share: an identity without what is compared.
        titles: a heading per setting.
        techniques: the columns, in the order to show them.
        cells: (setting, technique) to the row of ``trials.cells`` that it is.
    """

    by: str
    trials: Trials
    frame: pd.DataFrame
    settings: list[Identity]
    titles: list[str]
    techniques: list[str]
    cells: dict[tuple[int, int], int]

    @property
    def what(self) -> str:
        """What a column is, as a table heads it."""
        return "technique" if self.by == "init" else self.by

    @cached_property
    def _rows(self) -> dict[int, NDArray[np.int64]]:
        codes = self.frame["setting"].to_numpy()
        order = np.argsort(codes, kind="stable")
        ends = np.cumsum(np.bincount(codes, minlength=len(self.settings)))
        return dict(enumerate(np.split(order, ends[:-1])))

    @cached_property
    def _present(self) -> dict[int, dict[int, int]]:
        found: dict[int, dict[int, int]] = {}
        for (setting, technique), cell in sorted(self.cells.items()):
            found.setdefault(setting, {})[technique] = cell
        return found

    def section(self, setting: int) -> pd.DataFrame:
        """The trials of one setting."""
        return self.frame.iloc[self._rows[setting]]

    def column(self, setting: int, name: str) -> NDArray[Any]:
        """One column of the trials of one setting."""
        return np.asarray(self.frame[name].to_numpy()[self._rows[setting]])

    def task(self, setting: int) -> Task:
        """What the networks of a section learn."""
        return TASKS.get(str(self.about(setting)["task"]), TASKS[USUAL])

    def score(self, setting: int) -> Score:
        """What the results of a section are told by."""
        return self.task(setting).score

    @cached_property
    def score_of_all(self) -> Score | None:
        """What the results of all sections are told by; None where they differ."""
        found = {self.score(setting) for setting in range(len(self.settings))}
        return found.pop() if len(found) == 1 else None

    def present(self, setting: int) -> list[int]:
        """The techniques that have trials in a setting."""
        return list(self._present[setting])

    def about(self, setting: int) -> pd.Series:
        """The settings of a section as a row of ``trials.cells``."""
        return self.trials.cells.iloc[next(iter(self._present[setting].values()))]


def compare(
    trials: Trials, by: str = "init", apart: Iterable[str] = (), held: Iterable[str] = (), once: bool = True
) -> Comparison:
    """Give every trial its technique, the value of ``by``, and its setting, all the rest but the seed.

    ``init`` stands for all that a network starts from: its weights' law, other laws for its first or last layer, and
    its biases, and ``optimizer`` for its learning rate too: each is used with one of its own. What was searched is no
    part of a setting: every technique has values of its own.

    Args:
        trials: what to compare.
        by: the setting whose values are the techniques.
        apart: further settings that are no part of a setting either: trials that differ in them share a section.
        held: settings that are part of it even where they were searched.
        once: of a technique in a setting no trial counts twice, in however many ways it was asked for; False keeps
            all, where two sets of results hold the same trials.

    Raises:
        InputError: no trial has such a setting, or its values are not comparable.
    """
    by = by.removesuffix(".name")
    if by.split(".")[0] == "dataset":
        raise InputError("accuracies on different data sets are not comparable; choose another setting for --by")
    used = np.unique(trials.columns.numbers["cell"])
    known = {name for code in used for name in settings(trials.identities[code])}
    if by not in known - {"seeds"}:
        raise unknown("setting", by, known - {"seeds"})
    found = dict.fromkeys(path for code in used for path in searched(trials.identities[code]))
    # A protocol that searches has nothing to be equal in there.
    protocol = ("protocol", *dict.fromkeys(("lr", *found)))
    together_with = {"init": START_GROUPS, "optimizer": ("optimizer", "lr"), "protocol": protocol}
    compared = (*together_with.get(by, (by,)), *apart)
    sections: dict[str, int] = {}
    # What holds a technique's variants together: a setting, and what is apart.
    together: dict[int, str] = {}
    setting_of: dict[int, int] = {}
    names: dict[int, str] = {}
    parameters: dict[int, dict[str, str]] = {}
    widths = {json.dumps(trials.identities[code]["width"]) for code in used} - {"null"}
    # Where depths are compared, a net without hidden layers goes with the width of the others, if they have one.
    only_width = json.loads(widths.pop()) if "depth" in compared and len(widths) == 1 else None
    asked = [cell.asked for cell in trials.columns.cells]
    for code in _in_order(trials):
        identity = trials.identities[code]
        if identity["width"] is None and only_width is not None:
            identity = {**identity, "width": only_width}
        text = json.dumps(shared(identity, compared, held), sort_keys=True)
        setting_of[code] = sections.setdefault(text, len(sections))
        together[code] = text + json.dumps([identity.get(key) for key in apart], sort_keys=True)
        names[code], parameters[code] = _technique(identity, by, protocol[1:])
        if by == "init":
            names[code] = asked[code].label or identity["init"]["name"]
    silent = [code for code in names if by == "init" and not asked[code].settings]
    labels = _labels(names, parameters, together, silent)
    techniques = sorted(set(labels.values()), key=_shown_order if by == "init" else natural)
    technique_of = {code: techniques.index(label) for code, label in labels.items()}
    cells: dict[tuple[int, int], int] = {}
    for code in setting_of:
        cells.setdefault((setting_of[code], technique_of[code]), int(code))
    if once:
        places = [(setting_of.get(code, -1), technique_of.get(code, -1)) for code in range(len(trials.cells))]
        trials = trials.take(first_of(trials.columns, pd.factorize(pd.Series(places))[0]))
    frame = trials.frame()
    frame["setting"], frame["technique"] = frame["cell"].map(setting_of), frame["cell"].map(technique_of)
    plain = [json.loads(text) for text in sections]
    return Comparison(by, trials, frame, plain, titles(plain, compared), techniques, cells)


def baseline_of(comparison: Comparison, name: str | None) -> int | None:
    """The technique that the others are held against: the named one, else ``torch_default`` where there is one.

    Raises:
        InputError: a name that no technique has.
    """
    if name is None:
        return comparison.techniques.index("torch_default") if "torch_default" in comparison.techniques else None
    if name not in comparison.techniques:
        raise unknown("baseline", name, comparison.techniques)
    return comparison.techniques.index(name)


def shared(identity: Identity, without: Iterable[str], held: Iterable[str] = ()) -> Identity:
    """An identity without some of its settings, and without what was searched unless it is ``held``."""
    dropped = {*without, "chosen", *searched(identity)} - {*held}
    kept = {key: value for key, value in identity.items() if key not in dropped}
    for key in dropped:
        group, dot, inner = key.partition(".")
        if dot and isinstance(kept.get(group), Mapping):
            kept[group] = {name: value for name, value in kept[group].items() if name != inner}
    return kept


def _in_order(trials: Trials) -> list[int]:
    """Cells in the order in which their first trials are sorted."""
    codes = trials.columns.numbers["cell"]
    _, first = np.unique(codes, return_index=True)
    return [int(codes[row]) for row in np.sort(first)]


def _technique(identity: Identity, by: str, search: Sequence[str]) -> tuple[str, dict[str, str]]:
    """The name of what is compared, and its parameters; among these what belongs to it and is not searched."""
    if by != "init":
        node = node_of(identity, by)
        own = search if by == "protocol" and not searched(identity) else ()
        own = ("lr",) if by == "optimizer" and "lr" not in searched(identity) else own
        name, inner = _named_parameters(node)
        return name, inner | {path: exact(value_of(identity, path)) for path in own}
    name, found = _named_parameters(identity["init"])
    found |= {"law": identity["init"]["law"]}
    for key in START_GROUPS[1:]:
        if identity[key] is not None:
            of_group, inner = _named_parameters(identity[key])
            found |= {key: of_group} | {f"{key}.{parameter}": text for parameter, text in inner.items()}
    return name, found


def _named_parameters(node: Any) -> tuple[str, dict[str, str]]:
    if not isinstance(node, Mapping):
        return exact(node), {}
    return node["name"], {key: exact(value) for key, value in sorted(node.items()) if key not in ("name", "law")}


def _labels(
    names: Mapping[int, str],
    parameters: Mapping[int, dict[str, str]],
    together: Mapping[int, str],
    silent: Collection[int],
) -> dict[int, str]:
    """The name, and where one name stands for several techniques in one place also what tells them apart.

    Records say how they were asked for and are told apart by that. Those that are ``silent``, of the first format or
    of others, are told apart by their parameters, and change nothing in what the rest is called.
    """

    def labelled(codes: Iterable[int], among: Collection[int]) -> dict[int, str]:
        telling = _telling(among, names, parameters, together)
        own = {code: [f"{k}={v}" for k, v in parameters[code].items() if (names[code], k) in telling] for code in codes}
        return {code: " ".join([names[code], *parts]) for code, parts in own.items()}

    def what(code: int) -> tuple[str, ...]:
        return names[code], *map(str, parameters[code].items())

    speaking = [code for code in names if code not in silent]
    labels = labelled(speaking, speaking)
    known = {what(code): label for code, label in labels.items()}
    labels |= {code: known.get(what(code), label) for code, label in labelled(silent, list(names)).items()}
    return labels


def _telling(
    among: Collection[int],
    names: Mapping[int, str],
    parameters: Mapping[int, dict[str, str]],
    together: Mapping[int, str],
) -> set[tuple[str, str]]:
    """The names with those of their parameters that have several values in one place."""
    seen: dict[tuple[str, str], dict[str, set[str | None]]] = {}
    keys = {key for code in among for key in parameters[code]}
    for code in among:
        for key in keys:
            seen.setdefault((names[code], key), {}).setdefault(together[code], set()).add(parameters[code].get(key))
    return {pair for pair, values in seen.items() if any(len(found) > 1 for found in values.values())}


def _shown_order(name: str) -> tuple[int, str]:
    """The article's techniques first, in its order."""
    plain = name.split(" ")[0]
    return (list(D4).index(plain) if plain in D4 else len(D4), name)


def titles(held: Sequence[Identity], compared: Sequence[str]) -> list[str]:
    """A heading for each section: the usual settings, and where they do not suffice what else tells it from others.

    Args:
        held: what each section shares.
        compared: the settings that are compared in it.
    """
    usual, leaves = [_title(identity, compared) for identity in held], [_leaves(identity) for identity in held]
    alike: dict[str, list[dict[str, str]]] = {}
    for title, mine in zip(usual, leaves, strict=True):
        alike.setdefault(title, []).append(mine)
    telling = {
        title: [key for key in dict.fromkeys(itertools.chain(*same)) if len({mine.get(key) for mine in same}) > 1]
        for title, same in alike.items()
    }
    telling = {title: [key for key in keys if not _follows(key, keys, alike[title])] for title, keys in telling.items()}
    return [
        " · ".join([title, *(_named(key, mine.get(key, "none")) for key in telling[title])])
        for title, mine in zip(usual, leaves, strict=True)
    ]


def _follows(key: str, keys: Collection[str], leaves: Sequence[Mapping[str, str]]) -> bool:
    """Whether a parameter of a group is told with the group's name, which tells as much."""
    name = f"{key.partition('.')[0]}.name"
    if key == name or name not in keys:
        return False
    return len({(mine.get(name), mine.get(key)) for mine in leaves}) == len({mine.get(name) for mine in leaves})


def _named(key: str, value: str) -> str:
    return f"{key} {value}" if "." not in key else f"{key.removesuffix('.name')}={value}"


def _leaves(identity: Identity) -> dict[str, str]:
    """Every setting by its dotted name, as exact text."""
    leaves: dict[str, str] = {}
    for key, node in identity.items():
        inner = node if isinstance(node, Mapping) else {}
        leaves |= {f"{key}.{name}": exact(value)[: 12 if name == "sha256" else None] for name, value in inner.items()}
        if not isinstance(node, Mapping):
            leaves[key] = exact(node)
    return leaves


def _title(identity: Identity, compared: Sequence[str]) -> str:
    parts = [value_of(identity, "dataset")]
    layers = [f"{key} {exact(identity[key])}" for key in ("depth", "width") if identity.get(key) is not None]
    parts.append(" ".join(filter(None, [value_of(identity, "model"), ", ".join(layers)])))
    parts += [value_of(identity, key) for key in ("activation", "init")]
    if "lr" not in compared:
        parts.append(f"lr {exact(identity['lr'])}" if "lr" in identity else "lr tuned")
    tuned = [path for path in searched(identity) if path not in ("lr", *compared)]
    parts += [f"{path} tuned" for path in tuned if value_of(identity, path) is None]
    return " · ".join(str(part) for part in parts if part)
