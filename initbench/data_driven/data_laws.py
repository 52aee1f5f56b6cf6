"""The table of laws of whole networks, and the whole catalogue: those and the laws of single weights."""

from collections import ChainMap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from initbench.data_driven.greedy import pretrain_autoencoder, pretrain_denoising, pretrain_rbm
from initbench.data_driven.metainit import metainit
from initbench.data_driven.problem import Prepared
from initbench.data_driven.scaling import krahenbuhl_between, krahenbuhl_within, lsuv, mean_only
from initbench.initializers import LAWS, Law
from initbench.signature import defaults


@dataclass(frozen=True)
class DataLaw:
    """One line of the catalogue, as :class:`initbench.initializers.Law`.

    Attributes:
        function: ``(problem, **params) -> Prepared``.
        formula: what it does, in few words.
        source: where it comes from.
        tier: 2 looks at training data, 3 comes from one line of research.
        hidden: it needs a hidden layer.
        shortest: parameters with which it takes next to no time.
    """

    function: Callable[..., Prepared]
    formula: str
    source: str
    tier: int = 2
    hidden: bool = False
    shortest: Mapping[str, Any] = field(default_factory=dict)

    @property
    def defaults(self) -> dict[str, Any]:
        """The parameters and their default values."""
        return defaults(self.function)

    def steps(self, n_samples: int, n_layers: int, params: Mapping[str, Any]) -> int:
        """The optimizer steps it takes, known before; so many layers include the output layer."""
        if "epochs" in params:
            return (n_layers - 1) * int(params["epochs"]) * -(-n_samples // int(params["batch"]))
        return int(params.get("steps", 0))


DATA_LAWS: dict[str, DataLaw] = {
    "lsuv": DataLaw(
        lsuv, "base law, each layer scaled to Var(W·h) = 1 on a batch", "Mishkin & Matas 2016, arXiv:1511.06422"
    ),
    "krahenbuhl_within": DataLaw(
        krahenbuhl_within,
        "base law, each unit scaled and shifted to N(mean, 1) on a batch",
        "Krähenbühl et al. 2016, arXiv:1511.06856; Salimans & Kingma 2016",
    ),
    "krahenbuhl_between": DataLaw(
        krahenbuhl_between,
        "as krahenbuhl_within, then equal gradient / weight in all layers",
        "Krähenbühl et al. 2016, arXiv:1511.06856",
    ),
    "mean_only": DataLaw(
        mean_only,
        "base law, biases such that each unit has the mean on a batch",
        "after Salimans & Kingma 2016, arXiv:1602.07868",
    ),
    "pretrain_autoencoder": DataLaw(
        pretrain_autoencoder,
        "hidden layers trained one by one as tied autoencoders",
        "Bengio et al. 2007; article D1",
        hidden=True,
        shortest={"epochs": 1},
    ),
    "pretrain_denoising": DataLaw(
        pretrain_denoising,
        "as pretrain_autoencoder, a part of the inputs missing",
        "Vincent et al. 2008; article D1",
        hidden=True,
        shortest={"epochs": 1},
    ),
    "pretrain_rbm": DataLaw(
        pretrain_rbm,
        "hidden layers trained one by one as Boltzmann machines, CD-1",
        "Hinton et al. 2006; article D1",
        hidden=True,
        shortest={"epochs": 1},
    ),
    "metainit": DataLaw(
        metainit,
        "base law, norms that minimise the gradient quotient on noise",
        "Dauphin & Schoenholz 2019",
        3,
        shortest={"steps": 1},
    ),
}

# The whole catalogue: laws that draw one weight, those of plugins too, and laws of whole networks.
INITIALIZERS = cast("Mapping[str, Law | DataLaw]", ChainMap(cast("dict[str, Any]", LAWS), DATA_LAWS))
