"""Command lines written from habit, of other tools: what was meant, for the line of an error."""

from collections.abc import Iterable, Sequence

from initbench.settings import habits
from initbench.settings.catalogue import Catalogue

# What people call commands, and the command that does it.
_COMMANDS = {
    "bench": "reproduce",
    "benchmark": "reproduce",
    "check": "doctor",
    "compare": "run init=he,xavier seeds=10",
    "d4": "reproduce",
    "download": "run dataset=mnist",
    "eval": "report",
    "experiment": "run experiment=NAME",
    "export": "report --format csv --out trials.csv",
    "fit": "run",
    "info": "list",
    "ls": "list",
    "paper": "reproduce",
    "plot": "report --figures DIR",
    "print": "report",
    "results": "report",
    "search": "run protocol=tuned",
    "show": "report",
    "start": "run",
    "summary": "report",
    "sweep": "run init=he,xavier depth=2,10",
    "table": "report",
    "test": "verify",
    "train": "run",
    "tune": "run protocol=tuned",
    "version": "--version",
}
# Options that are another command's, with what gives the same.
_OPTIONS = {
    "baseline": "report --baseline NAME",
    "by": "report --by KEY",
    "exact": "report --exact KEY=VALUE",
    "figures": "report --figures DIR",
    "format": "report --format html --out report.html",
    "html": "report --format html --out report.html",
    "out": "report --out report.html",
    "plot": "report --figures DIR",
    "resume": "run KEY=VALUE again: it goes on where it stopped",
    "check": "list --check",
    "view": "report --view all",
}


def command(name: str, arguments: Sequence[str]) -> str:
    """What an unknown command should have been, with what follows it; empty where nobody knows."""
    following = [word for word in arguments[arguments.index(name) + 1 :] if not word.startswith("-")]
    if "=" in name:
        return f"initbench run {' '.join([name, *following])}"
    if name.casefold() in _COMMANDS:
        return f"initbench {_COMMANDS[name.casefold()]}"
    meant = habits.word(name, (), following, Catalogue().groups())
    return f"initbench run {meant}" if meant else ""


def option(name: str, arguments: Sequence[str], known: Iterable[str]) -> str:
    """What an option that a command does not have should have been; empty where nobody knows.

    Args:
        name: as it was written, with its dashes.
        arguments: the whole command line.
        known: the options of the command.
    """
    bare = name.lstrip("-")
    written = next((word for word in arguments if word == name or word.startswith(f"{name}=")), name)
    given = written.partition("=")[2]
    if not given and written in arguments:
        after = arguments[arguments.index(written) + 1 :]
        given = after[0] if after and not after[0].startswith("-") else ""
    key = {"i": "init", "d": "dataset", "a": "activation", "n": "seeds", "s": "seeds", "o": "results"}.get(bare)
    key = key or habits.key_of(bare)
    if key:
        return f"{key}={given or 'VALUE'}, without dashes"
    if bare in _OPTIONS and f"--{bare}" not in known:
        return f"initbench {_OPTIONS[bare]}"
    return ""


def filter_meant(name: str) -> str:
    """The filter that a word is, where no results folder has this name; empty where it is none."""
    return habits.word(name, (), (), Catalogue().groups())
