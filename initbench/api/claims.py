"""``initbench.claims``: the ledger, and the training of what it lacks; for ``initbench claims`` too."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from initbench.api.keywords import one_or_more

if TYPE_CHECKING:
    from initbench.claims.hypotheses import Asked
    from initbench.claims.ledger import Ledger


def claims(
    *words: str,
    run: bool = False,
    preset: str = "standard",
    config_dir: str | Path | None = None,
    plugins: str | Path | Iterable[str | Path] = (),
) -> "Ledger":
    """The ledger: what articles and papers claim of initializers, each claim with its verdict.

    ``initbench.claims()`` reads the records that are there, ``initbench.claims("he_beats_xavier_relu", run=True)``
    trains what they lack for one claim first.

    Args:
        words: ids of claims (all, if there is none) and overrides, ``"dataset.root=/data"``.
        run: train and probe what has no record.
        preset: what all claims share, a file in ``configs/ledger/``.
        config_dir: a folder of your own with ``claim/ID.yaml``.
        plugins: Python files with initializers of your own.

    Raises:
        InputError: a claim, a preset or a setting that there is not.
        StorageError: the results folder cannot be read or written.
    """
    from initbench.claims import ledger

    ids, asked = ask(words, preset, config_dir, one_or_more(plugins))
    if run:
        measure(asked.of(ids))
    return ledger.read(asked, ids)


def ask(
    words: Sequence[str], preset: str, config_dir: str | Path | None, plugins: Iterable[str | Path]
) -> "tuple[list[str], Asked]":
    """Which claims are wanted, and what the whole ledger asks for.

    Raises:
        InputError: as :func:`claims`.
    """
    from initbench.claims import files, hypotheses
    from initbench.settings.catalogue import Catalogue

    ids, own = [word for word in words if "=" not in word], [word for word in words if "=" in word]
    known = files.claims(config_dir)
    files.chosen(known, ids)
    asked = hypotheses.ask(known, files.preset(preset, config_dir), own, Catalogue.of(plugins, config_dir))
    return ids, asked


def measure(asked: "Asked") -> list[str]:
    """Probe and train what claims lack; a line where some networks could not be trained.

    Raises:
        InputError: what is asked for cannot be trained here.
        StorageError: the results folder cannot be read or written.
    """
    from initbench.api.run import failures, train
    from initbench.probing.run import probe

    if asked.probed:
        probe(asked.probed)
    return failures(train(asked.trained)) if asked.trained else []
