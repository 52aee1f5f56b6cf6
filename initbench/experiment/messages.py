"""What a coordinator and its worker say to each other: a JSON object on a line each.

Trials go by their numbers, their places in the :class:`Work` that the coordinator has sent; cells go by theirs.
"""

from typing import Literal

import msgspec

Kind = Literal["input", "storage", "memory", "internal"]


class Work(msgspec.Struct, tag=True, frozen=True, kw_only=True):
    """What is to train; the first command, and again whenever that has changed. Answered by :class:`Checked`.

    Attributes:
        request: with the cells that follow, and no seeds.
        cells: of each trial the number of its cell; ``seeds`` its seed.
        checks: how many of the checks are done, and are not done again.
        refused: cells that are not checked any more, and not trained.
        folder: where the coordinator works.
        environment: variables that it has now; None for one that it has not.
        log: the level of what is logged.
    """

    request: msgspec.Raw
    cells: list[int]
    seeds: list[int]
    checks: int
    refused: list[int]
    folder: bytes
    environment: dict[str, bytes | None]
    log: int


class Divide(msgspec.Struct, tag=True, frozen=True):
    """Make chunks of some trials; answered by :class:`Divided`, which says how they are trained if that is asked."""

    trials: list[int]
    workers: int
    how: bool


class Train(msgspec.Struct, tag=True, frozen=True):
    """Train a chunk and publish its records; answered by :class:`Progress`, then :class:`Done` or :class:`Failed`.

    ``claim`` is the file that says who trains them.
    """

    trials: list[int]
    claim: str


class Fail(msgspec.Struct, tag=True, frozen=True):
    """Publish that some trials could not be trained, and why; answered by :class:`Done`."""

    trials: list[int]
    reason: str


class Leave(msgspec.Struct, tag=True, frozen=True):
    """Users' code has run in this process, or its memory was too little: end it; answered by :class:`Ended`."""


class Note(msgspec.Struct, tag=True, frozen=True):
    """A line for the user."""

    line: str


class Log(msgspec.Struct, tag=True, frozen=True):
    """What is logged, with the traceback of its exception."""

    name: str
    level: int
    text: str


class Checking(msgspec.Struct, tag=True, frozen=True):
    """A check begins, of what these cells share."""

    check: int
    cells: list[int]


class Refused(msgspec.Struct, tag=True, frozen=True):
    """A check has failed: these cells cannot be trained. Where ``memory`` was too little, nothing else is said."""

    cells: list[int]
    reason: str
    trace: str
    memory: bool


class Checked(msgspec.Struct, tag=True, frozen=True):
    """All ``checks`` are done; what is not refused can be trained, on this device."""

    device: str
    checks: int


class Divided(msgspec.Struct, tag=True, frozen=True):
    """The chunks: the trials of each, and the optimizer steps that it takes; and how they are trained, in lines.

    ``turns`` says whether there are networks that take turns in a process: while one trains, another waits.
    """

    chunks: list[list[int]]
    steps: list[int]
    how: list[str]
    turns: bool


class Progress(msgspec.Struct, tag=True, frozen=True):
    """So many optimizer steps were made, summed over the trials that made them."""

    steps: int


class Done(msgspec.Struct, tag=True, frozen=True):
    """The records are on disk."""

    file: str


class Failed(msgspec.Struct, tag=True, frozen=True):
    """A chunk could not be trained to its end; whether because ``memory`` was too little."""

    reason: str
    memory: bool


class Ended(msgspec.Struct, tag=True, frozen=True):
    """The process that trained has ended, with this exit code; less than 0: by that signal. The next can begin."""

    code: int


class Error(msgspec.Struct, tag=True, frozen=True):
    """Nothing of this kind can be done here: it is no trial's fault. ``trace`` is the traceback."""

    kind: Kind
    message: str
    trace: str


Command = Work | Divide | Train | Fail | Leave
Answer = Note | Log | Checking | Refused | Checked | Divided | Progress | Done | Failed | Ended | Error

encode = msgspec.json.Encoder().encode
command = msgspec.json.Decoder(Command).decode
answer = msgspec.json.Decoder(Answer).decode
