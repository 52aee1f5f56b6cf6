"""The rules for residual branches: how a network of blocks ``x + a·F(x)`` starts, whatever law draws its weights."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class BranchRule:
    """One rule, for ``n_branches`` branches of ``n_layers`` weights each.

    Attributes:
        formula: the rule in words.
        source: where it comes from.
        factor: ``(n_branches, n_layers, layer) -> float``, what the law's weight of a layer (0-based) is multiplied by.
        multiplier: ``n_branches -> float``, the initial ``a``.
        output: what the weight of the output layer is multiplied by.
        least_layers: the fewest layers of a branch that it has a meaning for.
    """

    formula: str
    source: str
    factor: Callable[[int, int, int], float] = lambda n_branches, n_layers, layer: 1.0
    multiplier: Callable[[int], float] = lambda n_branches: 1.0
    output: float = 1.0
    least_layers: int = 1


def _fixup(n_branches: int, n_layers: int, layer: int) -> float:
    return 0.0 if layer == n_layers - 1 else n_branches ** (-1 / (2 * n_layers - 2))


def _last_zero(n_branches: int, n_layers: int, layer: int) -> float:
    return float(layer < n_layers - 1)


BRANCHES: dict[str, BranchRule] = {
    "fixup": BranchRule(
        "last layer of each of L branches and output 0, the other m − 1 times L^(−1/(2m−2))",
        "Zhang et al. 2019, arXiv:1901.09321",
        factor=_fixup,
        output=0.0,
        least_layers=2,
    ),
    "rezero": BranchRule(
        "a = 0 in x + a·F(x)",
        "Bachlechner et al. 2021, arXiv:2003.04887",
        multiplier=lambda n_branches: 0.0,
    ),
    "skipinit": BranchRule(
        "a = 1/√L in each of L blocks x + a·F(x)",
        "De & Smith 2020, arXiv:2002.10444",
        multiplier=lambda n_branches: n_branches**-0.5,
    ),
    "last_zero": BranchRule(
        "last layer of each branch 0",
        "Zhao et al. 2022, arXiv:2110.12661; cf. Goyal et al. 2017, arXiv:1706.02677",
        factor=_last_zero,
    ),
}
