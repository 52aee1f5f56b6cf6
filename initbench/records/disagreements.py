"""Trials that have several records which do not say the same: which, where they were made, and which one counts."""

import msgspec
import numpy as np

from initbench.errors import printable
from initbench.records.columns import Columns, first_of_each, repeated
from initbench.records.schema import OUTCOMES, SPLITS

# More of them are counted.
_MOST = 5


def disagreements(columns: Columns) -> list[str]:
    """A line for each trial whose records differ in outcome, counts or final weights, the first few of them.

    Args:
        columns: trials, those with several records as often as they have some.
    """
    rows = np.flatnonzero(repeated(columns.keys))
    if not len(rows):
        return []
    twice = columns.take(rows)
    _, first, trial = np.unique(twice.keys, return_index=True, return_inverse=True)
    # Of others' records, which may lack it, the hash of the weights says nothing.
    differs = (twice.final != twice.final[first][trial]) & (twice.final != b"") & (twice.final[first][trial] != b"")
    for name in ("outcome", *(f"{split}_correct" for split in SPLITS)):
        differs |= twice.numbers[name] != twice.numbers[name][first][trial]
    found = np.unique(trial[differs])
    used = first_of_each(twice)
    lines = [
        _line(twice, first[number], np.flatnonzero(differs & (trial == number))[0], used) for number in found[:_MOST]
    ]
    if len(found) > _MOST:
        lines.append(f"and {len(found) - _MOST} more trials have records that disagree")
    return lines


def _line(twice: Columns, one: int, other: int, used: Columns) -> str:
    """About two records of one trial."""
    key = twice.keys[one]
    cell = twice.cells[twice.numbers["cell"][one]]
    chunks = [twice.chunks[twice.numbers["chunk"][row]] for row in (one, other)]
    made = [msgspec.structs.asdict(chunk.environment) for chunk in chunks]
    fields = [
        f"{name} {made[0][name] or '-'} and {made[1][name] or '-'}"
        for name in made[0]
        if made[0][name] != made[1][name]
    ]
    dates = sorted({used.chunks[number].finished for number in used.numbers["chunk"][used.keys == key].tolist()})
    name = cell.asked.label or cell.trial["init"]["law"]
    text = (
        f"trial {key.decode()} ({name}, seed {twice.numbers['seed'][one]}) has records that disagree: "
        f"{_result(twice, one)} and {_result(twice, other)}; "
        f"their environments differ in {', '.join(fields) or 'nothing that they tell'}; "
        f"the one finished first is used ({' and '.join(dates)})"
    )
    return printable(text)


def _result(columns: Columns, row: int) -> str:
    numbers = columns.numbers
    counts = [numbers[f"{split}_correct"][row] for split in SPLITS]
    correct = f"{'/'.join(str(n) if n >= 0 else '-' for n in counts)} correct ({'/'.join(SPLITS)})"
    outcome = OUTCOMES[numbers["outcome"][row]]
    return f"{correct if outcome == 'ok' else outcome}, weights {columns.final[row].decode() or 'unknown'}"
