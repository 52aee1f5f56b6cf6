"""Probe what a request asks for and no record has yet; the same request again measures nothing."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from initbench.analysis.probes import Probes, load, probes_of
from initbench.experiment.progress import progress, say
from initbench.files import sweep
from initbench.probing.plan import Probe, lines_of, wanted
from initbench.records import store
from initbench.records.probe import ProbeRecord
from initbench.settings.request import Request
from initbench.trial import Cell, Init, Named

if TYPE_CHECKING:
    from initbench.experiment.execute import Say


def probe(request: Request, tell: "Say" = say) -> Probes:
    """Measure what of a request has no probe yet, keep it beside the trials' records, and give back all of it.

    The request is one of ``initbench run``: its cells times its seeds. Each network is looked at before its training,
    on the first batch that it would be trained on; whatever comes after the first step (epochs, schedule) makes no
    other probe. Measured in this process, which imports torch if there is something to measure.

    Args:
        request: what is asked for, from :func:`initbench.api.run.ask` or :func:`initbench.settings.request.request`.
        tell: takes a line for the user.

    Returns:
        What was asked for, each network under the words of the request; one that could not start has the outcome
        ``failed`` and its reason.

    Raises:
        InputError: a data set that cannot be read, a device that is not there, or a model that cannot be built.
        StorageError: the results folder cannot be read or written.
    """
    sweep(store.leftover_folders([request.results]))
    probes = wanted(request)
    found = {(record.key, record.asked.text()): record for record in _known(request, tell)}
    by_key = {record.key: record for record in found.values()}
    todo: dict[str, Probe] = {}
    for one in probes:
        if one.key not in by_key:
            todo.setdefault(one.key, one)
    if todo:
        store.check_writable(request.folder)
        tell(f"{len({one.key for one in probes})} networks: {len(todo)} to probe")
        with progress(len(todo), what="networks", doing="probing") as advance:
            for records in _measured(list(todo.values()), request, tell):
                by_key |= {record.key: record for record in records}
                found |= {(record.key, record.asked.text()): record for record in records}
                advance(len(records))
    # What was measured under other words is told of under these too.
    renamed = [
        msgspec.structs.replace(by_key[one.key], asked=one.cell.asked()) for one in probes if one.subject not in found
    ]
    if renamed:
        store.publish(request.folder, renamed)
        found |= {(record.key, record.asked.text()): record for record in renamed}
    return probes_of(found[one.subject] for one in probes)


def plan_lines(request: Request, tell: "Say" = say) -> list[str]:
    """What :func:`probe` would do, for people.

    Raises:
        InputError: a data set without a known content hash cannot be read.
        StorageError: the results folder cannot be read.
    """
    return lines_of(wanted(request), {record.key for record in _known(request, tell)})


def _known(request: Request, tell: "Say") -> list[ProbeRecord]:
    records, told = load([request.results])
    for line in told:
        tell(line)
    return records


def _measured(todo: Sequence[Probe], request: Request, tell: "Say") -> Iterable[list[ProbeRecord]]:
    """The records of some networks, published group by group: a kill costs the one in work."""
    from initbench.experiment.describe import environment
    from initbench.experiment.train import find_device, now
    from initbench.probing.networks import MOST_NUMBERS, measured, numbers_of

    device = find_device(request.device)
    where = environment(device, request.blas, "torch")
    for group in _groups(todo, lambda cell: max(1, MOST_NUMBERS // numbers_of(cell))):
        started = now()
        records = measured(group, device)
        store.publish(request.folder, records, started, now(), where)
        yield records


def _groups(todo: Sequence[Probe], size: Callable[[Cell], int]) -> list[list[Probe]]:
    """Networks of one shape side by side."""
    shapes: dict[Cell, list[Probe]] = {}
    for one in todo:
        drawn = replace(one.cell, init=Init("", ""), init_first=None, init_output=None, bias=Named(""))
        later = replace(drawn, schedule="", warmup=0.0, epochs=0, protocol=Named(""), stage="", chosen=(), settings=())
        shapes.setdefault(replace(later, lr=0.0), []).append(one)
    groups = []
    for cell, some in shapes.items():
        each = size(cell)
        # Networks of one seed see the same batch.
        some.sort(key=lambda one: one.seed)
        groups += [some[start : start + each] for start in range(0, len(some), each)]
    return groups
