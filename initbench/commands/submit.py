"""``initbench submit``: what to send with an initializer of your own; and to look at what somebody has sent."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from initbench.commands.arguments import Debug
from initbench.commands.console import print_lines
from initbench.commands.stopping import resumable
from initbench.errors import InputError

if TYPE_CHECKING:
    from initbench.experiment.examine import Finding
    from initbench.render.blocks import Block
    from initbench.settings.catalogue import Catalogue

# What a new one is compared with.
_BESIDE = ("he", "xavier", "orthogonal", "torch_default")


@resumable()
def submit(
    file: Annotated[Path, typer.Argument(metavar="FILE.py", help="Your initializers; with --check a folder.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="Settings of 'run': dataset=mnist depth=2,10 seeds=20."),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where to put it.")] = Path("submission"),
    check: Annotated[
        bool,
        typer.Option("--check", help="Look at a folder that somebody made so. This runs the code that is in it."),
    ] = False,
    sample: Annotated[int, typer.Option(metavar="N", help="With --check, how many trials to train again.", min=1)] = 20,
    debug: Debug = False,
) -> None:
    """Train your initializers beside well-known ones, each at its own best learning rate, and make a folder to attach.

    It holds your file, its certificates, the packed records and the report. The same command again goes on.
    """
    if check:
        found = list(_checked(file, sample))
        print_lines(f"{'WRONG' if one.wrong else 'ok':<6} {one.what:<13} {one.said}" for one in found)
        if any(one.wrong for one in found):
            raise typer.Exit(3)
        return
    _make(file, overrides or [], out)


def _make(file: Path, overrides: Sequence[str], out: Path) -> None:
    from initbench.api.run import ask, train
    from initbench.experiment.progress import say
    from initbench.records import packing
    from initbench.render.markdown import to_markdown
    from initbench.report import output
    from initbench.report.document import Options
    from initbench.settings.catalogue import Catalogue

    names, blocks, faults = _certified(Catalogue.of([file], None))
    if faults:
        raise InputError(f"{len(faults)} certificates of {file} failed; the first: {faults[0]}")
    taken = {text.partition("=")[0] for text in overrides} & {"init", "name", "results"}
    if taken:
        raise InputError(f"{', '.join(sorted(taken))} is set by submit; --out says where")
    protocol = [] if any(text.startswith("protocol=") for text in overrides) else ["protocol=tuned"]
    asked = [f"init={','.join([*names, *_BESIDE])}", *protocol, "name=run", f"results={out}", *overrides]
    _, wanted = ask([asked], None, [file])
    results = train(wanted)
    shutil.copyfile(file, out / file.name)
    packing.pack(out / "run")
    # Where this machine keeps things is nobody's business.
    shutil.rmtree(out / "run" / "requests", ignore_errors=True)
    output.write(to_markdown(blocks), out / "certificates.md")
    output.write(output.report(results.trials, Options(baseline="he"), "markdown"), out / "report.md")
    say(f"wrote {out}: attach it, as an archive, to an issue; 'initbench submit --check {out}' looks at it")


def _checked(folder: Path, sample: int) -> "Iterator[Finding]":
    from initbench.api.verify import verify
    from initbench.experiment.examine import Finding, results
    from initbench.settings.catalogue import Catalogue

    files = sorted(folder.glob("*.py")) if folder.is_dir() else []
    if len(files) != 1:
        raise InputError(f"--check needs a folder that 'initbench submit' made, with one FILE.py in it; got {folder}")
    names, _, faults = _certified(Catalogue.of(files, None))
    yield Finding("certificates", faults[0] if faults else f"all of {', '.join(names)} passed", wrong=bool(faults))
    yield from results([folder])
    again = verify(folder, sample=sample, plugins=files)
    differing = [one for one in again if one.differing]
    left = [one for one in again if one.again is None]
    yield Finding("trained again", f"{len(again) - len(left) - len(differing)} of {len(again)} trials are the same")
    for one in differing:
        yield Finding("trained again", f"{one.recorded.key} differs in {', '.join(one.differing)}", wrong=True)
    for one in left:
        yield Finding("trained again", f"{one.recorded.key} cannot be trained here: {one.reason}", wrong=True)


def _certified(catalogue: "Catalogue") -> "tuple[list[str], list[Block], list[str]]":
    """The initializers of its files, their certificates, and what is wrong with them."""
    from initbench.commands.listing import certificates

    names = [law for source in catalogue.plugins if not source.is_package for law in source.laws]
    return names, *certificates(names, catalogue)
