"""Results in Python: trials that one can count, tabulate, compare, report and draw. Needs no torch."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from initbench.analysis.compare import Comparison, baseline_of, compare
from initbench.analysis.contrasts import against, all_pairs, to_frame
from initbench.analysis.trials import Trials, finals, rows_of_table, select, to_table
from initbench.errors import InputError, unknown
from initbench.render.text import counted

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure as Canvas

    from initbench.api.text import Text
    from initbench.render.blocks import Figure, Table

FORMATS = ("markdown", "rich", "csv", "latex", "html")
# The views that are drawn, and what trials each can show.
PLOTS = {
    "strips": "trials",
    "curves": "trials that trained for an epoch or more",
    "lr": "trials of several learning rates, all else equal",
    "depth": "trials of several depths, all else equal",
    "activation": "trials of several activations, all else equal",
    "across": "three techniques or more that have trials in each of several settings",
}


@dataclass(frozen=True, eq=False, repr=False)
class Results:
    """Trials of any number of settings, as :func:`initbench.run` and :func:`initbench.load` return them.

    A notebook or a prompt shows them as a table: a row for every technique of every setting.

    Attributes:
        trials: what the records hold of them, sorted by setting and seed.
    """

    trials: Trials

    def __len__(self) -> int:
        return len(self.trials)

    def __repr__(self) -> str:
        if not len(self):
            return self._count()
        from initbench.render.terminal import to_lines

        # Never folded or cut into parts.
        return f"{self._count()}\n{to_lines([self._table()], 200)}"

    def _repr_html_(self) -> str:
        from html import escape

        from initbench.render.fragment import to_fragment

        return to_fragment(self._table(), f"{self._count()}.") if len(self) else f"<p>{escape(self._count())}</p>"

    def _table(self) -> "Table":
        from initbench.report.glance import glance

        return glance(compare(finals(self.trials)))

    def _count(self) -> str:
        n_search = len(self) - len(finals(self.trials))
        return f"Results of {counted(len(self), 'trial')}" + (f", {n_search} of them in a search" if n_search else "")

    @property
    def techniques(self) -> list[str]:
        """What is compared, in the order of every table: names that ``baseline=`` takes."""
        return compare(finals(self.trials)).techniques if len(self) else []

    @property
    def errors(self) -> list[str]:
        """Of every trial that could not be trained the reason. One that diverged is none of these: it is a result."""
        codes = self.trials.columns.numbers["error"]
        return [self.trials.columns.errors[code] for code in codes[codes >= 0]]

    def frame(self, search: bool = False) -> "pd.DataFrame":
        """One row per trial, with the columns of ``initbench report --format csv`` after its ``technique``.

        Accuracies are fractions, NaN where a run failed; whole numbers that a run may lack (``diverged_at``,
        ``epochs_to_target``) are of pandas' ``Int64``; texts are categories, techniques in the order of every table.

        Args:
            search: also the trials in which a protocol looked for its learning rates, whose ``stage`` is ``search``.
        """
        trials = self.trials if search else finals(self.trials)
        comparison = compare(trials) if len(trials) else None
        table = to_table(comparison.trials if comparison else trials)
        if comparison:
            import pandas as pd

            codes = comparison.frame["technique"].to_numpy()[rows_of_table(comparison.trials)]
            table.insert(0, "technique", pd.Categorical.from_codes(codes, comparison.techniques))
        return table

    def select(self, *filters: str, **settings: Any) -> "Results":
        """The trials that have one of the wanted values of every setting: ``select(init=["he", "xavier"], depth=10)``.

        Args:
            filters: as on the command line: ``"init=he,xavier"``, ``"init=glob(he*)"``, ``"optimizer.momentum=0.9"``.
            settings: a value or a list of them for each; a mapping names an option with parameters.

        Raises:
            InputError: a setting that no trial has, or a selection that leaves nothing.
        """
        from initbench.api.keywords import filters_of

        return Results(select(self.trials, filters_of(filters, settings)))

    def contrasts(self, baseline: str | None = None, by: str = "init") -> "pd.DataFrame":
        """Techniques against each other, paired by seed, a row each.

        ``mean`` is the mean difference of the test score of ``a`` minus that of ``b``, more being better: accuracy as
        a fraction, R², or bits per character with a minus sign. A failed run scores as the best constant prediction, or
        as the worst finished run where that is lower. ``low`` to ``high`` is its 95 % interval; ``p`` is that of the
        exact sign-flip test, ``adjusted_p`` after Holm within a setting; ``verdict`` is what follows at 5 %: ``a`` is
        ``higher``, ``lower``, ``inseparable``, or ``untestable``, as it takes ``seeds_needed`` seeds to show anything.

        Args:
            baseline: hold all others against this one of ``techniques``; None: all pairs, the better of the two first.
            by: the setting whose values are the techniques.

        Raises:
            InputError: no trial has such a setting, or no technique this name.
        """
        comparison = compare(finals(self.trials), by)
        reference = None if baseline is None else baseline_of(comparison, baseline)
        sections = range(len(comparison.settings))
        return to_frame(comparison, [one for setting in sections for one in _contrasts(comparison, setting, reference)])

    def report(
        self,
        format: str = "markdown",
        *,
        by: str = "init",
        baseline: str | None = None,
        views: str | Iterable[str] = (),
        out: str | Path | None = None,
    ) -> "Text":
        """The report on these trials, as ``initbench report`` gives it: a text, which a notebook shows as what it is.

        Args:
            format: ``markdown``, ``rich`` (as on a terminal), ``csv``, ``latex`` or ``html``.
            by: the setting whose values the columns compare.
            baseline: the technique that the others are tested against; None: ``torch_default`` where there is one.
            views: further views: ``curves``, ``strips``, ``pairs``, ``lr``, ``depth``, ``activation``, ``across``,
                ``article``.
            out: write it to this file too.

        Raises:
            InputError: a format, a view, a setting or a baseline that there is not.
            StorageError: the file cannot be written.
        """
        from initbench.api.keywords import one_or_more
        from initbench.api.text import Text
        from initbench.report.document import VIEWS, Options
        from initbench.report.output import report, write

        if format not in FORMATS:
            raise unknown("format", format, FORMATS)
        asked = tuple(one_or_more(views))
        for view in asked:
            if view not in VIEWS:
                raise unknown("view", view, VIEWS)
        text = report(self.trials, Options(by, baseline, asked), format)
        if out is not None:
            write(text, Path(out))
        return Text(text, format)

    def plot(self, view: str = "strips", *, by: str = "init", number: int = 1) -> "Canvas":
        """A figure of these trials, to show or to save: ``results.plot("curves").savefig("curves.pdf")``.

        Where a view has a figure for each setting, ``select`` says of which: ``results.select(depth=10).plot()``.

        Args:
            view: ``strips`` (every run), ``curves`` (learning curves), ``lr`` (learning rates), ``depth``,
                ``activation`` or ``across`` (ranks over settings).
            by: the setting whose values are compared.
            number: which of several figures; 1 is the first.

        Returns:
            A matplotlib figure, with what it shows as its title.

        Raises:
            InputError: there is no such view, or nothing in these trials that it could show.
        """
        from initbench.render.figures import draw

        if view not in PLOTS:
            raise unknown("plot", view, PLOTS)
        found = self._figures(view, by)
        if not found:
            raise InputError(f"plot '{view}' shows {PLOTS[view]}, and there are none here")
        if not 1 <= number <= len(found):
            raise InputError(f"number must be from 1 to {len(found)}, the figures of plot '{view}'; got {number}")
        return draw(found[number - 1].plot, found[number - 1].title)

    def _figures(self, view: str, by: str) -> "list[Figure]":
        from initbench.render.blocks import Figure
        from initbench.report.document import Options, document

        blocks = document(self.trials, Options(by=by, views=(view,), answer=False))
        return [block for block in blocks if isinstance(block, Figure)]


def _contrasts(comparison: Comparison, setting: int, baseline: int | None) -> Any:
    if baseline is None:
        return all_pairs(comparison, setting)
    return against(comparison, setting, baseline)
