"""From claims to what they need: in every setting and for every pair of arms the networks of a contrast."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from initbench.claims.files import Claim, Settings, overrides
from initbench.claims.values import is_of_trials
from initbench.claims.verdicts import MOST_SEEDS
from initbench.errors import InputError
from initbench.settings.catalogue import Catalogue
from initbench.settings.compose import compose
from initbench.settings.request import Request, request
from initbench.trial import Cell

# Settings with their values, as texts.
Setting = tuple[tuple[str, str], ...]

# Overrides that change nothing that is measured.
_ELSEWHERE = ("dataset.root", "results", "name", "seeds", "device")

# What comes after a network's start, and makes no other probe.
_LATER = ("optimizer", "lr", "epochs", "schedule", "warmup", "protocol")


@dataclass(frozen=True)
class Hypothesis:
    """One claim in one setting for one pair: the sum of ``terms`` is the contrast.

    Attributes:
        claim: what claims it.
        setting: the settings in which the hypotheses of the claim differ.
        pair: the arms; the second is None where there is a bound.
        terms: sign and cell of each network of a seed.
    """

    claim: Claim
    setting: Mapping[str, str]
    pair: tuple[str, str | None]
    terms: tuple[tuple[int, Cell], ...]


@dataclass(frozen=True)
class Asked:
    """What claims ask for.

    Attributes:
        hypotheses: of all of them.
        trained: the networks to train; None where there are none.
        probed: those to look at before training; None likewise.
        shared: the settings that all share.
        own: overrides of the user's, but for where data and results lie.
    """

    hypotheses: tuple[Hypothesis, ...]
    trained: Request | None
    probed: Request | None
    shared: Settings
    own: tuple[str, ...] = ()

    @property
    def request(self) -> Request:
        """Either of the two: folder and seeds are the same."""
        found = self.trained or self.probed
        assert found is not None
        return found

    def of(self, ids: Iterable[str]) -> "Asked":
        """The part of some claims, all of it where none is named."""
        ids = set(ids)
        if not ids:
            return self
        some = tuple(one for one in self.hypotheses if one.claim.id in ids)
        return replace(
            self, hypotheses=some, trained=_part(self.trained, some, True), probed=_part(self.probed, some, False)
        )


def ask(claims: Sequence[Claim], shared: Settings, own: Sequence[str], catalogue: Catalogue) -> Asked:
    """What some claims ask for.

    Args:
        claims: in their order.
        shared: the settings of a preset, before those of each claim.
        own: overrides of the user's, after them.
        catalogue: what there is to choose from.

    Raises:
        InputError: a setting or a quantity that there is not; the message names the claim.
    """
    hypotheses, requests = list[Hypothesis](), list[Request]()
    for claim in claims:
        try:
            made, its = _hypotheses(claim, shared, own, catalogue)
        except InputError as error:
            raise InputError(f"claim {claim.id}: {error}") from error
        hypotheses += made
        requests += its
    seeds = requests[0].seeds
    if any(one.seeds != seeds for one in requests):
        raise InputError("seeds are those of the whole ledger: set them in the preset or on the command line")
    if len(seeds) > MOST_SEEDS:
        raise InputError(f"a ledger has at most {MOST_SEEDS} seeds; got {len(seeds)}")
    trained, probed = (_part(requests[0], hypotheses, of_trials) for of_trials in (True, False))
    told = tuple(text for text in own if text.partition("=")[0] not in _ELSEWHERE)
    return Asked(tuple(hypotheses), trained, probed, shared, told)


def _part(whole: Request | None, hypotheses: Sequence[Hypothesis], of_trials: bool) -> Request | None:
    cells = {cell: None for one in hypotheses if is_of_trials(one.claim.quantity) == of_trials for _, cell in one.terms}
    return replace(whole, cells=tuple(cells)) if whole and cells else None


def _hypotheses(
    claim: Claim, shared: Settings, own: Sequence[str], catalogue: Catalogue
) -> tuple[list[Hypothesis], list[Request]]:
    requests = _requests(claim, shared, own, catalogue)
    cells = _by_setting(claim, requests, [*shared, *claim.settings, *(claim.change or {}), *map(_key, own)])
    changed, (before, after) = claim.changed or ("", ("", ""))
    made = []
    for setting in next(iter(cells.values())):
        if changed and dict(setting).get(changed) != after:
            continue
        places = [(1, setting)]
        if changed:
            places.append((-1, tuple((key, before if key == changed else value) for key, value in setting)))
        shown = {key: value for key, value in setting if key != changed}
        for one, other in claim.pairs:
            terms: list[tuple[int, Cell]] = []
            for sign, place in places:
                if place not in cells[one]:
                    raise InputError(f"{changed} does not change as it says")
                terms.append((sign, cells[one][place]))
                if other:
                    terms.append((-sign, cells[other][place]))
                    if _network(cells[other][place]) == _network(cells[one][place]):
                        raise InputError(f"arms '{one}' and '{other}' are one network")
            made.append(Hypothesis(claim, shown, (one, other), tuple(terms)))
    if not made:
        raise InputError(f"it has nothing to compare: {changed} does not change as it says")
    return made, list(requests.values())


def _requests(claim: Claim, shared: Settings, own: Sequence[str], catalogue: Catalogue) -> dict[str, Request]:
    """What each arm of a claim asks for."""
    if any("seeds" in settings for settings in (claim.settings, *claim.arm_settings.values())):
        raise InputError("it has seeds of its own; those of the whole ledger count")
    keys = set(map(_key, own))
    for key in keys & set(claim.change or {}):
        raise InputError(f"it is about a change of {key}, which cannot be set")
    if not is_of_trials(claim.quantity):
        shared = {key: value for key, value in shared.items() if key.partition(".")[0] not in _LATER}
    # Parameters of an option that the user replaces are not those of the new one.
    base = {**shared, **claim.settings, **(claim.change or {})}
    base = {key: value for key, value in base.items() if not {key, key.partition(".")[0]} & keys}

    def asked(settings: Settings) -> Request:
        # What an arm sets, nothing else does.
        given = overrides({key: value for key, value in base.items() if key not in settings})
        users = [text for text in own if _key(text) not in settings]
        return request(compose([*overrides(settings), *given, *users], catalogue), catalogue)

    if isinstance(claim.arms, dict):
        return {arm: asked(settings) for arm, settings in claim.arms.items()}
    # Initializers by their names are one sweep, which composes in a tenth of the time; it is the outermost axis.
    every = asked({"init": claim.arms})
    size, rest = divmod(len(every.cells), len(claim.arms))
    if rest:
        raise InputError(f"two of its arms are one initializer: {', '.join(claim.arms)}")
    return {arm: replace(every, cells=every.cells[i * size :][:size]) for i, arm in enumerate(claim.arms)}


def _by_setting(
    claim: Claim, requests: Mapping[str, Request], may_differ: Iterable[str]
) -> dict[str, dict[Setting, Cell]]:
    """The cells of each arm by the settings that differ within the claim, and that no arm sets.

    Args:
        claim: whose arms they are.
        requests: of each arm.
        may_differ: settings, in the order in which they are shown.
    """
    of_arms = {key for settings in claim.arm_settings.values() for key in settings}
    said = {arm: [(dict(cell.settings), cell) for cell in one.cells] for arm, one in requests.items()}
    every = [settings for some in said.values() for settings, _ in some]
    free = [key for key in dict.fromkeys(may_differ) if key not in of_arms]
    varying = [key for key in free if len({settings.get(key) for settings in every}) > 1]
    found: dict[str, dict[Setting, Cell]] = {}
    for arm, some in said.items():
        found[arm] = {tuple((key, settings.get(key, "")) for key in varying): cell for settings, cell in some}
        if len(found[arm]) < len(some):
            raise InputError(f"arm '{arm}' is an axis of its own; each arm takes one value of what it sets")
        if found[arm].keys() != next(iter(found.values())).keys():
            raise InputError(f"arm '{arm}' is not there in the settings of the others")
    return found


def _key(override: str) -> str:
    return override.partition("=")[0]


def _network(cell: Cell) -> dict[str, Any]:
    return cell.identity(0, cell.dataset.content or "")
