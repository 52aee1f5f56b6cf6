"""A table of trials as CSV, for programs and for spreadsheets."""

import re
from typing import TYPE_CHECKING

from initbench.printable import printable

if TYPE_CHECKING:
    import pandas as pd

# What makes a cell a formula, in every language, where it stands first; after a semicolon too, which ends a cell in the
# spreadsheets of half the world.
_FORMULA = re.compile("(?:^|(?<=;))(?=[=+\\-@＝＋－＠])")


def to_csv(table: "pd.DataFrame") -> str:
    """The table as text; numbers are numbers.

    A text that a spreadsheet would compute gets an apostrophe before it, as one would type it there. It stays in the
    text for who reads the file otherwise; :meth:`initbench.Results.frame` has the text itself.
    """
    shown = table.copy(deep=False)
    for name in table:
        column = table[name]
        if column.dtype == object or column.dtype.name in ("category", "str", "string"):
            spelled = {value: _text(value) for value in column.unique() if isinstance(value, str)}
            if any(value != text for value, text in spelled.items()):
                shown[name] = [spelled.get(value, value) for value in column]
    return str(shown.to_csv(index=False, lineterminator="\n"))


def _text(text: str) -> str:
    try:
        float(text)
    except ValueError:
        return _FORMULA.sub("'", printable(text))
    return text
