"""Results in Python: trials that one can count, tabulate, compare, report and draw. Needs no torch."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from initbench.analysis.compare import Comparison, baseline_of, compare
from initbench.analysis.contrasts import against, all_pairs, to_frame
from initbench.analysis.trials import Trials, finals, select, to_table, to_trials
from initbench.errors import InputError, StorageError, unknown
from initbench.records import index

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure as Canvas

    from initbench.render.blocks import Figure

FORMATS = ("markdown", "rich", "csv", "latex", "html")


@dataclass(frozen=True)
class Results:
    """Trials of any number of settings, as :func:`initbench.run` and :func:`initbench.load` return them.

    A notebook shows them as a table: mean test accuracy of every setting and technique.

    Attributes:
        trials: what the records hold of them, sorted by setting and seed.
    """

    trials: Trials

    def __len__(self) -> int:
        return len(self.trials)

    def __repr__(self) -> str:
        if not len(self):
            return "Results: no trials"
        comparison = compare(finals(self.trials))
        parts = [f"{len(self)} trials", f"{len(comparison.techniques)} techniques"]
        return f"Results: {', '.join([*parts, f'{len(comparison.settings)} settings'])}"

    def _repr_html_(self) -> str:
        from html import escape

        from initbench.render.blocks import Table
        from initbench.report.document import overview

        if not len(self):
            return "<p>Results: no trials</p>"
        (table,) = [block for block in overview(compare(finals(self.trials))) if isinstance(block, Table)]
        head = "".join(f"<th>{escape(name)}</th>" for name in table.header)
        rows = ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in table.rows]
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        return (
            f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
            f"<p>{escape(repr(self))}. {escape(table.caption)}</p>"
        )

    def frame(self) -> "pd.DataFrame":
        """One row per trial: its settings, outcome, counts, accuracies (fractions) and scores, as the CSV has them."""
        return to_table(self.trials)

    def select(self, *filters: str) -> "Results":
        """The trials that pass all filters, each as on the command line: ``"init=he,xavier"``, ``"depth=10"``.

        Raises:
            InputError: a setting that no trial has, or a selection that leaves nothing.
        """
        from initbench.settings.overrides import parse_filters

        return Results(select(self.trials, parse_filters(filters)))

    def contrasts(self, baseline: str | None = None, by: str = "init") -> "pd.DataFrame":
        """Techniques against each other, paired by seed, a row each.

        ``mean`` is the mean difference of test accuracy (a fraction) of ``a`` minus ``b`` with its 95 % interval,
        ``p`` that of the exact sign-flip test, ``adjusted_p`` after Holm, ``verdict`` what follows at 5 %.

        Args:
            baseline: hold all others against this one; None: all pairs, the better of the two first.
            by: the setting whose values are the techniques.

        Raises:
            InputError: no trial has such a setting, or no technique this name.
        """
        comparison = compare(finals(self.trials), by)
        reference = None if baseline is None else baseline_of(comparison, baseline)
        found = [
            contrast
            for setting in range(len(comparison.settings))
            for contrast in _contrasts(comparison, setting, reference)
        ]
        return to_frame(comparison, found)

    def report(
        self,
        format: str = "markdown",
        *,
        by: str = "init",
        baseline: str | None = None,
        views: Iterable[str] = (),
        out: str | Path | None = None,
    ) -> str:
        """The report on these trials, as ``initbench report`` gives it.

        Args:
            format: ``markdown``, ``rich`` (as on a terminal), ``csv``, ``latex`` or ``html``.
            by: the setting whose values the columns compare.
            baseline: the technique that the others are tested against.
            views: further views: ``curves``, ``strips``, ``pairs``, ``lr``, ``depth``, ``activation``, ``across``.
            out: write it to this file too.

        Raises:
            InputError: a format, a view, a setting or a baseline that there is not.
            StorageError: the file cannot be written.
        """
        from initbench.report.output import report

        if format not in FORMATS:
            raise unknown("format", format, FORMATS)
        text = report(self.trials, _options(by, baseline, views), format)
        if out is not None:
            try:
                Path(out).write_text(text, encoding="utf-8")
            except OSError as error:
                raise StorageError(f"cannot write {out}: {error.strerror or error}") from error
        return text

    def plot(self, view: str = "strips", *, by: str = "init", number: int = 1) -> "Canvas":
        """A figure of these trials, to show or to save: ``results.plot("curves").savefig("curves.pdf")``.

        Args:
            view: ``strips`` (every run), ``curves`` (learning curves), ``lr`` (learning rates), ``depth``,
                ``activation`` or ``across`` (ranks over settings).
            by: the setting whose values are compared.
            number: which one, where there is one for each setting; 1 is the first.

        Returns:
            A matplotlib figure.

        Raises:
            InputError: there is no such view, or nothing in these trials that it could show.
        """
        from initbench.render.figures import draw

        found = self._figures(view, by)
        if not 1 <= number <= len(found):
            there = f"there are {len(found)}" if found else "these trials have none"
            raise InputError(f"no figure {number} of view '{view}': {there}")
        return draw(found[number - 1].plot)

    def _figures(self, view: str, by: str) -> "list[Figure]":
        from initbench.render.blocks import Figure
        from initbench.report.document import document

        return [block for block in document(self.trials, _options(by, None, [view])) if isinstance(block, Figure)]


def load(*folders: str | Path, filters: Iterable[str] = ()) -> Results:
    """The results in some folders (default: ``results``), without training anything.

    Raises:
        InputError: a folder that is not there, or filters that leave nothing.
        StorageError: a folder that cannot be read, or a file that is damaged or of a newer format.
    """
    paths = [Path(folder) for folder in folders or ("results",)]
    for path in paths:
        if not path.is_dir():
            raise InputError(f"there is no results folder {path}")
    columns, damaged = index.load(paths)
    if damaged:
        raise StorageError(damaged[0])
    results = Results(to_trials(columns))
    chosen = list(filters)
    return results.select(*chosen) if chosen else results


def _contrasts(comparison: Comparison, setting: int, baseline: int | None) -> Any:
    if baseline is None:
        return all_pairs(comparison, setting)
    return against(comparison, setting, baseline)


def _options(by: str, baseline: str | None, views: Iterable[str]) -> Any:
    from initbench.report.document import VIEWS, Options

    asked = tuple(views)
    for view in asked:
        if view not in VIEWS:
            raise unknown("view", view, VIEWS)
    return replace(Options(), by=by, baseline=baseline, views=asked)
