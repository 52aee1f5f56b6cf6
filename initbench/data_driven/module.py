"""Layer-sequential unit variance for any module: what its layers put out is seen by hooks, in one pass forward."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from initbench.errors import InputError

_LAYERS = (nn.Linear, nn.modules.conv._ConvNd)


def unit_variance(module: nn.Module, run: Callable[[], object]) -> list[str]:
    """Scale the weight of each linear layer and convolution until what it puts out has variance 1, in place.

    The layers are taken in the order in which they are called, each with what the scaled ones before it hand on; one
    that is called again is scaled at its first call. The variance is that of the products, without the bias, over
    samples, positions and units.

    Args:
        module: any, with its weights drawn; layers whose weight is not a parameter of their own stay as they are.
        run: calls it with training inputs.

    Returns:
        The names of the parameters that were scaled.

    Raises:
        InputError: a layer answers all inputs with one number, which no scale mends.

    References:
        Mishkin & Matas 2016, arXiv:1511.06422, algorithm 1.
    """
    names = {id(one): name for name, one in module.named_parameters()}
    scaled: dict[int, str] = {}

    def scale(layer: Any, given: Any, output: Tensor) -> Tensor | None:
        weight = layer.weight
        if id(weight) in scaled:
            return None
        bias: Any = 0.0
        if layer.bias is not None:
            bias = layer.bias if isinstance(layer, nn.Linear) else layer.bias.view(-1, *[1] * len(layer.kernel_size))
        product = output - bias
        std = float(product.double().std(correction=0))
        if not std > 0:
            raise InputError(f"{names[id(weight)]} answers all inputs with one number, which no scale mends")
        weight.div_(std)
        scaled[id(weight)] = names[id(weight)]
        handed: Tensor = product / std + bias
        return handed

    handles = [
        part.register_forward_hook(scale)
        for part in module.modules()
        if isinstance(part, _LAYERS) and id(part._parameters.get("weight")) in names
    ]
    try:
        with torch.no_grad():
            run()
    finally:
        for handle in handles:
            handle.remove()
    return [*scaled.values()]
