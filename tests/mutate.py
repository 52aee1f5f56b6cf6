"""Mutate the package and see whether the tests notice: ``python tests/mutate.py [--sample N] [--skip N] [WORD]``.

Needs the extra ``mutation``. Cosmic Ray's operators say what may be changed and how. Of all places of the modules below
a sample is taken, the same each time and evenly from the groups, and one change is made at each. A mutant is killed if
a test of its group fails or does not end; it is not counted if it cannot even be imported. WORD picks the modules whose
path has it.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Queue

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

ROOT = Path(__file__).parents[1]
_TESTED = (
    "initbench",
    "configs",
    "tests",
    "pyproject.toml",
    "README.md",
    "docs",
    "results/README.md",
    "results/published",
)
# Far more than the tests of a group take; a mutant that takes it is one that never ends.
_SECONDS = 600

# What is mutated, and the tests that must notice.
GROUPS = {
    "initializers": (
        ["initbench/initializers/*.py"],
        "initializers initializers_certificates schemes plugins library models_start",
    ),
    "records": (
        ["initbench/records/*.py"],
        "records records_odd index keys labels report_columns report_foreign report_identity report_odd",
    ),
    "statistics": (
        ["initbench/analysis/*.py"],
        "report_statistics report_contrasts report_sweeps report_columns report_views report_identity",
    ),
    "sweep": (
        ["initbench/settings/expand.py", "initbench/settings/searching.py", "initbench/settings/request.py",
         "initbench/experiment/plan.py", "initbench/experiment/chunks.py", "initbench/search.py"],
        "tuning config requests settings commandline reasons models_cli",
    ),
    "data": (
        ["initbench/data/*.py"],
        "data data_files data_hostile downloads",
    ),
    "engine": (
        ["initbench/engine/**/*.py"],
        "engine engine_parts models checkpoints optimizers data_dependent_greedy",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One change of one module, and where it is."""

    group: str
    path: Path
    line: int
    operator: str
    occurrence: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line} {self.operator}"

    def code(self) -> str | None:
        """The whole module with the change."""
        return mutate_code((ROOT / self.path).read_text(), _OPERATORS[self.operator], self.occurrence)


# Those whose changes usually go on with a wrong number; a float that is shifted by another would raise in any test.
_ARITHMETIC = ("Add", "Sub", "Mul", "Div", "FloorDiv")
_OPERATORS = {
    name: get_operator(f"core/{name}")()
    for name in (
        *(f"ReplaceBinaryOperator_{a}_{b}" for a in _ARITHMETIC for b in _ARITHMETIC if a != b),
        *(name.removeprefix("core/") for name in operator_names() if "ReplaceComparisonOperator" in name),
        *("AddNot", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceAndWithOr", "ReplaceOrWithAnd"),
        *("ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "ExceptionReplacer", "NumberReplacer"),
        *("ZeroIterationForLoop", "ReplaceUnaryOperator_USub_UAdd", "ReplaceUnaryOperator_Delete_Not"),
    )
}


def mutants(group: str, word: str) -> list[Mutant]:
    """One for every place of a group's modules that any operator could change, in an order by hash."""
    places: dict[tuple[Path, tuple[int, int]], list[Mutant]] = {}
    for pattern in GROUPS[group][0]:
        for file in sorted(ROOT.glob(pattern)):
            path = file.relative_to(ROOT)
            nodes = list(ast_nodes(get_ast(file.read_text())))
            for name, operator in _OPERATORS.items() if word in str(path) else ():
                spots = [start for node in nodes for start, _ in operator.mutation_positions(node)]
                for occurrence, start in enumerate(spots):
                    places.setdefault((path, start), []).append(Mutant(group, path, start[0], name, occurrence))
    chosen = [min(several, key=_hash) for several in places.values()]
    return sorted(chosen, key=_hash)


def _hash(mutant: Mutant) -> str:
    # Without the line: code that moves keeps its mutants.
    return hashlib.sha256(f"{mutant.path} {mutant.operator} {mutant.occurrence}".encode()).hexdigest()


def copies(n: int) -> Iterator[Path]:
    """Copies of what the tests need, with caches of their own."""
    for _ in range(n):
        folder = Path(tempfile.mkdtemp(prefix="mutants-"))
        for name in _TESTED:
            source, target = ROOT / name, folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
        yield folder


def tested(folder: Path, group: str) -> str:
    """Whether the tests of a group pass in a copy: ``killed``, ``survived``, or ``stillborn`` if they cannot begin."""
    environment = os.environ | {
        "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "NUMBA_CACHE_DIR": str(folder / "numba"),
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    files = [f"tests/test_{name}.py" for name in GROUPS[group][1].split()]
    # What is fast may be enough.
    for marked in ("fast", "full"):
        command = [sys.executable, "-m", "pytest", "-n0", "-x", "-q", "-p", "no:cacheprovider", "-m", marked, *files]
        try:
            with open(folder / "tests.log", "wb") as log:
                done = subprocess.run(
                    command, cwd=folder, env=environment, timeout=_SECONDS, stdout=log, stderr=subprocess.STDOUT
                )
        except subprocess.TimeoutExpired:
            return "killed"
        # 1: tests failed; 5: there are none; else they could not be collected.
        if done.returncode not in (0, 5):
            return "killed" if done.returncode == 1 else "stillborn"
    return "survived"


def _compiles(code: str) -> bool:
    """Whether Python takes it, and without a warning: ``x is "text"`` has one, which the tests take for an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            compile(code, "mutant", "exec")
        except (SyntaxError, SyntaxWarning):
            return False
    return True


def main() -> None:
    """Print every mutant with what became of it, and the score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, default=120, help="how many mutants")
    parser.add_argument("--skip", type=int, default=0, help="how many to leave out, of an earlier sample")
    parser.add_argument("--jobs", type=int, default=2, help="how many at once")
    parser.add_argument("word", nargs="?", default="")
    asked = parser.parse_args()
    skipped, each = (-(-number // len(GROUPS)) for number in (asked.skip, asked.sample))
    work = [mutant for group in GROUPS for mutant in mutants(group, asked.word)[skipped : skipped + each]]
    folders: Queue[Path] = Queue()
    for folder in copies(asked.jobs):
        folders.put(folder)

    def unchanged(group: str) -> None:
        folder = folders.get()
        if tested(folder, group) != "survived":
            sys.exit(f"the tests of {group} fail without any change: see {folder}")
        folders.put(folder)

    def tried(mutant: Mutant) -> tuple[Mutant, str]:
        folder, code = folders.get(), mutant.code()
        try:
            if code is None or not _compiles(code):
                return mutant, "stillborn"
            (folder / mutant.path).write_text(code)
            return mutant, tested(folder, mutant.group)
        finally:
            shutil.copy(ROOT / mutant.path, folder / mutant.path)
            folders.put(folder)

    became = {"killed": 0, "survived": 0, "stillborn": 0}
    with ThreadPoolExecutor(asked.jobs) as pool:
        for _ in pool.map(unchanged, dict.fromkeys(mutant.group for mutant in work)):
            pass
        for mutant, what in pool.map(tried, work):
            became[what] += 1
            print(what, mutant, flush=True)
    for _ in range(asked.jobs):
        shutil.rmtree(folders.get())
    counted = became["killed"] + became["survived"]
    score = became["killed"] / max(1, counted)
    print(f"{became['killed']} of {counted} killed, {score:.1%}; {became['stillborn']} not counted")


if __name__ == "__main__":
    main()
