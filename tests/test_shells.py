"""Completion in real shells: typed at a prompt, with the key that asks for it, in each shell that is installed."""

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

# How each is started without anybody's settings, and what it needs before the script of initbench.
SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], ""),
    "zsh": (["zsh", "-f", "-i"], "autoload -Uz compinit && compinit -u -d ./dump; "),
    "fish": (["fish", "--no-config", "--interactive"], ""),
}
# A hung shell is not waited for without end.
_PATIENCE_SECONDS = 120


@pytest.mark.full
@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("typed", "completed"),
    [("initbench repr", "reproduce"), ("initbench run activation=hardsw", "hardswish")],
    ids=["command", "value"],
)
def test_the_key_for_completion_completes(shell: str, typed: str, completed: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here (Debian: apt-get install {shell})")
    program = tmp_path / "bin" / "initbench"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m initbench "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "HOME": str(tmp_path),
        "TERM": "xterm",
    }
    script = subprocess.run(
        ["initbench"],
        env=environment | {"_INITBENCH_COMPLETE": f"source_{shell}"},
        capture_output=True,
        text=True,
        check=True,
        executable=str(program),
    ).stdout
    Path("script").write_text(script, encoding="utf-8")
    command, before = SHELLS[shell]
    shown = at_a_prompt(
        command, environment, f"{before}source ./script; echo re''ady", "ready", f"{typed}\t", completed
    )
    assert completed in shown


def at_a_prompt(command: list[str], environment: dict[str, str], first: str, then: str, typed: str, until: str) -> str:
    """Start a shell, give it a line, wait for what that prints, type, and return what is shown until something is."""
    child, terminal = pty.fork()
    if child == 0:
        os.execvpe(command[0], command, environment)
    try:
        os.write(terminal, f"{first}\n".encode())
        read(terminal, then)
        os.write(terminal, typed.encode())
        return read(terminal, until)
    finally:
        with suppress(ProcessLookupError):
            os.kill(child, 9)
        os.waitpid(child, 0)
        os.close(terminal)


def read(terminal: int, until: str) -> str:
    shown, end = b"", time.monotonic() + _PATIENCE_SECONDS
    while until.encode() not in shown and time.monotonic() < end:
        if select.select([terminal], [], [], 1)[0]:
            try:
                shown += os.read(terminal, 4096)
            except OSError:
                break
    return shown.decode(errors="replace")
