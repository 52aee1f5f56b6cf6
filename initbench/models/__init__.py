"""The models: which there are, with which settings. Reading the table needs no torch.

A new model is a function in a file of this folder that builds one ``nn.Module``, a line in
:data:`initbench.models.modules.BUILDERS`, a line here, and a YAML in ``configs/model/``.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

from initbench.tasks import USUAL
from initbench.values import Parameter


@dataclass(frozen=True)
class Model:
    """One line of the table.

    Attributes:
        about: the network in a few words.
        parameters: what can be set of it.
        width: whether the layers have ``width`` units; else ``width`` means nothing here.
        equal: whether all of them must have the same width.
        least_depth: the fewest layers, or residual blocks.
        images: whether it needs samples of shape ``(channels, height, width)``.
        branches: whether it has residual branches.
        text: whether it needs text.
    """

    about: str
    parameters: tuple[Parameter, ...]
    width: bool = False
    equal: bool = False
    least_depth: int = 0
    images: bool = False
    branches: bool = False
    text: bool = False


_NORM = Parameter(
    "norm",
    "none",
    str,
    choices=("layer", "batch"),
    optional=True,
    help="before each activation",
)
_CONVOLUTION = (
    Parameter("channels", 16, int, least=1, help="of every convolution"),
    Parameter("kernel", 3, int, choices=(1, 3, 5, 7), help="edge of every convolution, padded to keep the size"),
    Parameter("stride", 2, int, least=1, help="of the first convolution"),
)
_LAYERS = Parameter("layers", 2, int, least=1, help="in the branch F of each block")

MODELS: dict[str, Model] = {
    "mlp": Model("depth hidden layers of width units", (_NORM,), width=True),
    "cnn": Model("depth convolutions, the first with a stride", (*_CONVOLUTION, _NORM), images=True),
    "residual_mlp": Model(
        "depth blocks x + a·F(x), F of some layers of width units",
        (_LAYERS, _NORM),
        width=True,
        equal=True,
        least_depth=1,
        branches=True,
    ),
    "residual_cnn": Model(
        "depth blocks x + a·F(x), F of some convolutions",
        (*_CONVOLUTION, _LAYERS, _NORM),
        least_depth=1,
        images=True,
        branches=True,
    ),
    "lstm": Model(
        "an embedding and depth layers of width LSTM cells, for text",
        (),
        width=True,
        equal=True,
        least_depth=1,
        text=True,
    ),
    "module": Model(
        "your own: a function of a Python file that returns an nn.Module",
        (
            Parameter("path", None, str, optional=True, help="FILE.py:FUNCTION of (sample_shape, n_classes)"),
            Parameter("channels", "first", str, choices=("first", "last"), help="where its images have the channels"),
        ),
    ),
}


def code_hash(source: bytes) -> str:
    """16 hex digits of a user's file, see :meth:`initbench.code.Code.hash`: part of the key of its networks' trials."""
    return hashlib.sha256(source).hexdigest()[:16]


@dataclass(frozen=True)
class Architecture:
    """All that decides what a network computes, but its parameters.

    Attributes:
        model: a key of :data:`MODELS`.
        settings: of the model, as (name, value) pairs.
        depth: hidden layers, convolutions or residual blocks.
        width: units, one entry per layer; empty where a model has none.
        activation: a name of :data:`initbench.activations.ACTIVATIONS`.
        activation_params: its parameters, as (name, value) pairs.
        sample_shape: what the network is given: ``(channels, height, width)`` or ``(features,)``.
        n_classes: how many numbers it puts out: a logit for each class, or one where the task asks for one.
        task: what it learns, a key of :data:`initbench.tasks.TASKS`.
        vocabulary: of text how many different characters there are: the network is given their numbers, int64. Else 0.
    """

    model: str
    settings: tuple[tuple[str, Any], ...]
    depth: int
    width: tuple[int, ...]
    activation: str
    activation_params: tuple[tuple[str, float], ...]
    sample_shape: tuple[int, ...]
    n_classes: int
    task: str = USUAL
    vocabulary: int = 0

    @property
    def normed(self) -> bool:
        """Whether it has a normalisation."""
        return dict(self.settings).get("norm") is not None

    @property
    def is_plain(self) -> bool:
        """Whether it is a multilayer perceptron without normalisation, which has an engine of its own."""
        return self.model == "mlp" and not self.normed and not self.vocabulary
