"""What ``--help`` shows, as text in which no word is broken, and what is said of a command that there is not."""

import shutil
import textwrap
from collections.abc import Iterable
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from initbench.errors import unknown

# Every command in its section, in this order.
SECTIONS = {
    "Train and report": ("reproduce", "run", "report", "list"),
    "A model of your own": ("diagnose", "race"),
    "Look closer": ("probe", "claims", "verify"),
    "Keep in order": ("status", "doctor", "pack", "unpack"),
    "Send": ("submit",),
}
_EXAMPLES = (
    ("initbench reproduce", "the articles' ten techniques, ten runs each"),
    ("initbench run init=he,xavier depth=2,10 seeds=5", "a sweep of your own"),
    ("initbench report --out report.html", "all of it, in one file"),
    ("initbench diagnose model.py:build", "what is wrong with a model's start"),
    ("initbench list he", "what a name stands for"),
    ("initbench help run", "every setting with its default"),
)
# As wide as text can be read; the widest column of names, with what is beside it.
_WIDEST, _LEAST, _TERM = 100, 20, 26

Rows = Iterable[tuple[str, str]]


class Commands(TyperGroup):
    """The commands in sections, with examples; ``help COMMAND`` is ``COMMAND --help``."""

    def get_help(self, ctx: Any) -> str:
        """The sections, and last of all what is in none."""
        told = {name for names in SECTIONS.values() for name in names}
        others = tuple(name for name in self.list_commands(ctx) if name not in told)
        sections: list[tuple[str, Rows]] = [
            (title, [(name, self.commands[name].get_short_help_str(limit=200)) for name in names])
            for title, names in (SECTIONS | ({"More": others} if others else {})).items()
        ]
        return _page(self, ctx, [*sections, ("Examples", _EXAMPLES)])

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Who says nothing is shown what there is."""
        return super().parse_args(ctx, args or ["--help"])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """A command by its name; ``help`` is the help of the one that follows it.

        Raises:
            InputError: there is none of the name.
        """
        if args[0] == "help":
            args = [*args[1:2], "--help"]
            if len(args) == 1:
                typer.echo(self.get_help(ctx))
                raise typer.Exit
        if args[0] not in self.commands and not args[0].startswith("-"):
            from initbench.commands.mistyped import command

            raise unknown("command", args[0], self.commands, command(args[0], args))
        return super().resolve_command(ctx, args)


class Command(TyperCommand):
    """A command of ours: its help is as that of all."""

    def get_help(self, ctx: Any) -> str:
        """Usage, what it does, arguments and options, an example."""
        return _page(self, ctx, ())


class Trains(Command):
    """A command that takes settings: its help has a line for every one of them."""

    def get_help(self, ctx: Any) -> str:
        """As of every command, with the settings."""
        from initbench.commands.listing import settings_of_a_run

        return _page(self, ctx, [("Settings: what each may be, and in brackets its default", settings_of_a_run())])


def _page(command: Any, ctx: Any, more: Iterable[tuple[str, Rows]]) -> str:
    """The help of a command, with further sections."""
    width = min(_WIDEST, max(_LEAST, shutil.get_terminal_size().columns)) - 1
    usage = " ".join(["Usage:", ctx.command_path, *command.collect_usage_pieces(ctx)])
    blocks = ["\n".join(_wrapped(usage, width, "  "))]
    for text in (command.help or "").split("\n\n"):
        blocks.append("\n".join(_wrapped(text, width, "", "")))
    found: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record:
            found["Arguments" if parameter.param_type_name == "argument" else "Options"].append(record)
    for title, rows in (*found.items(), *more):
        listed = list(rows)
        blocks += [f"{title}:\n{_listed(listed, width)}"] if listed else []
    if command.epilog:
        blocks.append(command.epilog)
    return "\n\n".join(blocks)


def _listed(rows: list[tuple[str, str]], width: int) -> str:
    """Names with what they are beside them; below a name that is too long."""
    widest = max(len(name) for name, _ in rows)
    column = min(widest, _TERM, width // 2) if widest > width // 2 else widest
    lines = []
    for name, about in rows:
        told = _wrapped(about, max(_LEAST, width - column - 4), "", "")
        if len(name) > column:
            lines.append(f"  {name}")
            lines += [f"  {'':<{column}}  {line}" for line in told]
        else:
            lines += [f"  {name if not place else '':<{column}}  {line}" for place, line in enumerate(told or [""])]
    return "\n".join(line.rstrip() for line in lines)


def _wrapped(text: str, width: int, indent: str, first: str = "") -> list[str]:
    return textwrap.wrap(
        " ".join(text.split()),
        width,
        initial_indent=first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
