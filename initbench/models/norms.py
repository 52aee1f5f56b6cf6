"""The normalisations between a layer and an activation; the identity where there is none, so that all names stay."""

from collections.abc import Callable

from torch import nn

# Of vectors, from their number of units: layer norm (Ba et al. 2016, arXiv:1607.06450) and batch norm (Ioffe & Szegedy
# 2015, arXiv:1502.03167).
NORMS: dict[str | None, Callable[[int], nn.Module]] = {
    None: lambda units: nn.Identity(),
    "layer": nn.LayerNorm,
    "batch": nn.BatchNorm1d,
}
# Of maps, from their number of channels: layer norm over all of them and their pixels, batch norm for each of them.
MAP_NORMS: dict[str | None, Callable[[int], nn.Module]] = {
    None: lambda channels: nn.Identity(),
    "layer": lambda channels: nn.GroupNorm(1, channels),
    "batch": nn.BatchNorm2d,
}
