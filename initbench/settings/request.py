"""What a command line asks for: composed dictionaries, checked value by value, become a frozen request.

Every message names the setting, what it may be, and what it got.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from initbench.errors import InputError, unknown
from initbench.search import search_seeds
from initbench.settings import resolve
from initbench.settings.catalogue import Catalogue
from initbench.settings.check import checked, option
from initbench.settings.commandline import overrides
from initbench.settings.overrides import seeds_of
from initbench.settings.schema import INIT_GROUPS, SEARCH, SETTINGS
from initbench.settings.searching import check_searches, searching
from initbench.settings.sizes import check_trials
from initbench.trial import VALUES, Cell, Named, Params
from initbench.values import shown, text

_OURS = Catalogue()
# As requests are kept, whoever trains them.
LOCAL = Named("local", (("processes", 1),))
HERE = Named("local", (("processes", None),))


@dataclass(frozen=True)
class Request:
    """What a command line asks for: cells times seeds, where to run them, where to keep the records.

    ``timeout`` is how many seconds may pass without a step, ``executor`` who trains. As JSON it means the same in
    another process, in another folder, on another machine that has the same files.
    """

    cells: tuple[Cell, ...]
    seeds: tuple[int, ...]
    device: str
    results: Path
    name: str
    catalogue: Catalogue = _OURS
    blas: str = "auto"
    timeout: float | None = None
    executor: Named = LOCAL

    def to_json(self, anywhere: bool = True) -> bytes:
        """All of it, for :meth:`from_json`.

        Args:
            anywhere: with whole paths, so that it can be trained from another folder; else with those that were given.
        """
        import msgspec

        return msgspec.json.encode(self.with_whole_paths() if anywhere else self, enc_hook=str)

    def with_whole_paths(self) -> "Request":
        """The same, of files and folders that are found from any folder."""
        cells = tuple(
            replace(
                cell,
                dataset=replace(cell.dataset, options=_whole(cell.dataset.options)),
                model=replace(cell.model, params=_whole(cell.model.params)),
            )
            for cell in self.cells
        )
        return replace(self, cells=cells, results=self.results.absolute())

    @classmethod
    def from_json(cls, encoded: bytes, check: bool = True) -> "Request":
        """The request that another process wrote.

        Args:
            encoded: what :meth:`to_json` gave.
            check: whether its plugins must be here as they were, as whoever trains it needs them.

        Raises:
            InputError: it is none, or a plugin it needs is not here or has changed since.
        """
        import msgspec

        try:
            asked = msgspec.json.decode(encoded, type=cls, dec_hook=lambda kind, value: kind(value))
        except msgspec.DecodeError as error:
            raise InputError(f"this is no request of initbench: {error}") from error
        if check:
            asked.catalogue.check()
        frozen: Request = _frozen(asked)
        return frozen

    @property
    def folder(self) -> Path:
        """Where its records are written."""
        return self.results / self.name / "records"


def _whole(params: Params) -> Params:
    """With whole paths of files; one that begins with the home folder is whole."""

    def one(key: str, value: Any) -> Any:
        is_path = key in ("path", "root") and isinstance(value, str) and value and not value.startswith("~")
        return str(Path(value).absolute()) if is_path else value

    return tuple((key, one(key, value)) for key, value in params)


def _frozen(value: Any) -> Any:
    """The same with tuples for lists, which is all that JSON knows, where the type of a field does not tell."""
    if isinstance(value, list | tuple):
        return tuple(map(_frozen, value))
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{field.name: _frozen(getattr(value, field.name)) for field in fields(value)})
    return value


def request(cells: Sequence[Mapping[str, Any]], catalogue: Catalogue = _OURS) -> Request:
    """Check and freeze composed cells; equal ones are asked for once.

    Args:
        cells: what :func:`initbench.settings.compose.compose` made.
        catalogue: what they were composed with.

    Raises:
        InputError: a value of the wrong type or outside its range, or a name that is not in its table.
    """
    first = cells[0]
    for name in first:
        if name not in SETTINGS and name != "options":
            raise unknown("setting", name, SETTINGS)
    seeds = seeds_of(cell["seeds"] for cell in cells)
    check_trials(cells, len(seeds))
    device = text("device", first["device"])
    number = device.removeprefix("cuda:")
    if device not in ("auto", "cpu", "cuda") and not (number != device and number.isdecimal()):
        raise InputError(f"device must be auto, cpu, cuda or cuda:N; got '{device}'")
    blas = SETTINGS["blas"].parameter.check(first["blas"], "blas")
    results = Path(SETTINGS["results"].parameter.check(first["results"], "results")).expanduser()
    run = SETTINGS["name"].parameter.check(first["name"], "name") or first["experiment"] or "run"
    if run in (".", "..") or Path(run).name != run:
        raise InputError(f"name must be that of a folder in {results}, without / in it; got {shown(run)}")
    typed = tuple(dict.fromkeys(_cell(cell, catalogue) for cell in cells))
    check_searches(typed)
    taken = {seed for cell in typed for seed in search_seeds(cell)}
    if taken & set(seeds):
        raise InputError(f"protocol=tuned searches with seeds from {min(taken)} on; choose others, to be fresh")
    timeout = SETTINGS["timeout"].parameter.check(first["timeout"], "timeout")
    executor = resolve.named(option("executor", first["executor"], {}))
    return Request(typed, seeds, device, results, run, catalogue, blas, timeout, executor)


def _cell(plain: Mapping[str, Any], catalogue: Catalogue) -> Cell:
    laws = catalogue.laws
    found = checked(plain, laws)
    model = resolve.model(found["model"])
    activation = resolve.activation(found["activation"], found["depth"], model.name)
    bias = resolve.bias_policy(found["bias"], activation)
    inits = {group: found[group] and resolve.initializer(found[group], activation, bias, laws) for group in INIT_GROUPS}
    if model.name != "module" and inits["init"].scheme == "torch":
        # Our models have no layer in which torch's scheme differs from its law: with or without, it is one trial.
        inits["init"] = replace(inits["init"], scheme="")
    depth = found["depth"]
    cell = Cell(
        dataset=resolve.dataset(found["dataset"]),
        model=model,
        depth=depth if model.name != "module" else 0,
        width=resolve.width(found["width"], depth, model.name),
        activation=activation,
        init=inits["init"],
        init_first=inits["init_first"],
        init_output=inits["init_output"],
        bias=bias,
        optimizer=resolve.optimizer(found["optimizer"]),
        protocol=resolve.named(found["protocol"]),
        settings=() if plain.get("options") is None else tuple(overrides(plain).items()),
        **{name: found[name] for name in VALUES},
    )
    refusal = resolve.unsuited(plain["init"], plain["model"], depth)
    if refusal is not None:
        raise InputError(refusal)
    if cell.warmup > cell.epochs:
        raise InputError(f"warmup ({cell.warmup} epochs) is longer than the training ({cell.epochs} epochs)")
    if any(key.startswith(SEARCH) for key in plain["protocol"]):
        fixed = {"protocol": {"name": "fixed"}, "options": None}
        return searching(cell, plain, lambda other: _cell({**other, **fixed}, catalogue))
    return cell
