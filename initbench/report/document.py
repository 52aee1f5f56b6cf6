"""What a report says and in which order: a section per setting, views across settings, where the numbers were made."""

from dataclasses import dataclass, replace

import numpy as np

from initbench.analysis.compare import Comparison, baseline_of, compare
from initbench.analysis.summaries import summaries
from initbench.analysis.trials import Trials, finals, n_trained
from initbench.render.blocks import Block, Code, Heading, Paragraph
from initbench.render.text import counted, listed
from initbench.report import context, contrast_tables, law_tables, outcome_tables, provenance, run_tables, sweep_tables
from initbench.report.answer import answer
from initbench.report.article_tables import article, beside
from initbench.report.command import commands
from initbench.report.overview import MOST_SECTIONS, overview
from initbench.report.ranking_tables import across
from initbench.report.seed_figures import learning_curves, strips

# What a reader can ask for beyond the default, in the order in which it comes.
VIEWS = ("curves", "strips", "pairs", "lr", "depth", "activation", "across", "article")


@dataclass(frozen=True)
class Options:
    """What a reader can choose.

    Attributes:
        by: the setting whose values the columns compare.
        baseline: the technique that the others are held against.
        interest: the smallest difference of interest, in points as tables show them; None: what the size of the test
            set suggests.
        views: further views, of ``VIEWS``.
        answer: whether the answer comes first, with a figure; else only what the views have.
    """

    by: str = "init"
    baseline: str | None = None
    views: tuple[str, ...] = ()
    interest: float | None = None
    answer: bool = True


def document(trials: Trials, options: Options = Options()) -> list[Block]:
    """The whole report on some trials.

    Raises:
        InputError: a comparison or a baseline that the trials do not have.
    """
    comparison = compare(finals(trials), options.by)
    baseline = baseline_of(comparison, options.baseline)
    views = set(options.views)
    blocks: list[Block] = []
    sections = range(len(comparison.settings))
    everything = context.of_all(comparison.trials)
    if options.answer:
        blocks += [Heading("The answer", anchor="answer"), Paragraph(answer(comparison))]
    if options.answer and len(sections) == 1:
        # Every run, in the first figure; it is not shown again.
        views -= {"strips"}
        first = strips(comparison, 0, summaries(comparison, 0))
        blocks += context.with_context([first], everything)
    if options.answer and len(sections) > 1:
        blocks += context.with_context(overview(comparison), everything)
    if len(sections) <= MOST_SECTIONS:
        for setting in sections:
            blocks += _section(comparison, setting, baseline, replace(options, views=tuple(views)))
    else:
        blocks += context.with_context([law_tables.all_laws(comparison)], everything)
    if "lr" in views:
        blocks += context.with_context(sweep_tables.learning_rates(trials, options.by), context.of_all(trials))
    if "depth" in views:
        blocks += context.with_context(sweep_tables.depths(comparison.trials, options.by), everything)
    if "activation" in views:
        blocks += context.with_context(sweep_tables.activations(comparison.trials, options.by), everything)
    if "across" in views:
        blocks += context.with_context(across(comparison), everything)
    if "article" in views:
        blocks += article(comparison)
    if baseline is None and len(comparison.techniques) > 1:
        blocks.append(Paragraph(_no_baseline(comparison)))
    return [*blocks, Paragraph(provenance.made_with(trials))]


def headline(trials: Trials, by: str = "init") -> tuple[str, str]:
    """A title and a sentence on what the report is about."""
    reported = finals(trials)
    used = reported.cells.iloc[np.unique(reported.columns.numbers["cell"])]
    datasets = listed(sorted(used["dataset"].unique()))
    inits = counted(used["init"].nunique(), "initializer")
    n_settings = len(compare(reported, by).settings)
    n_reported = n_trained(reported.columns)
    searched = n_trained(trials.columns) - n_reported
    search = f"; {counted(searched, 'more trial')} in the search for learning rates" if searched else ""
    return (
        f"Weight initialization on {datasets}",
        f"{counted(n_reported, 'trial')}: {inits}, {counted(n_settings, 'setting')}{search}. "
        "Click a column's heading to sort by it. Every figure comes with its numbers.",
    )


def _section(comparison: Comparison, setting: int, baseline: int | None, options: Options) -> list[Block]:
    found, laws = summaries(comparison, setting), law_tables.laws(comparison, setting)
    blocks: list[Block] = [
        Heading(comparison.titles[setting]),
        Paragraph(provenance.protocol(comparison, setting)),
        run_tables.runs(comparison, setting, found),
        *run_tables.errors(comparison, setting),
        laws,
        outcome_tables.outcomes(comparison, setting, found),
        outcome_tables.accuracies(comparison, setting, found),
        *beside(comparison, setting, found),
    ]
    if baseline is not None:
        blocks += contrast_tables.against(comparison, setting, baseline, found, options.interest)
    if "curves" in options.views:
        curves = learning_curves(comparison, setting)
        blocks += [curves] if curves else []
    if "strips" in options.views:
        blocks.append(strips(comparison, setting, found))
    if "pairs" in options.views:
        blocks += contrast_tables.all_pairs(comparison, setting, options.interest)
    return [
        *context.with_context(blocks, context.of_section(comparison, setting, found, laws)),
        Code(commands(comparison, setting)),
    ]


def _no_baseline(comparison: Comparison) -> str:
    names = comparison.techniques
    some = listed(names, "or") if len(names) <= 12 else f"{', '.join(names[:12])} …"
    return f"Nothing is tested: choose with --baseline which {comparison.what} the others are held against, of {some}."
