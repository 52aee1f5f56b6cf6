"""Other names of initializers: aliases of an option, and what the name means in a certain framework.

An option is a file in ``configs/init/``. ``kaiming_normal`` is an alias of one; ``he_normal@keras`` is a view: the law
that Keras draws under that name, which is not the law torch draws under it.
"""

import math
from typing import Any

ALIASES = {
    "caffe_xavier": "lecun_uniform",
    "dbn": "pretrain_rbm",
    "default": "torch_default",
    "eye": "identity",
    "glorot": "xavier",
    "glorot_normal": "xavier_normal",
    "glorot_truncated": "xavier_truncated",
    "glorot_uniform": "xavier_uniform",
    "kaiming": "he",
    "kaiming_normal": "he_normal",
    "kaiming_uniform": "he_uniform",
    "magic_init": "krahenbuhl_within",
    "martens": "sparse",
    "msra": "he_normal",
    "naive": "gaussian",
    "normal": "gaussian",
    "normal_small": "gaussian",
    "normal_standard": "normal_d1",
    "orthonormal": "orthogonal",
    "pytorch_default": "torch_default",
    "rand": "uniform_d1",
    "randn": "normal_d1",
    "sdae": "pretrain_denoising",
    "small_random": "gaussian",
    "stacked_autoencoder": "pretrain_autoencoder",
    "standard_normal": "normal_d1",
    "torch": "torch_default",
    "trunc_normal": "truncated_normal",
    "uniform_01": "uniform_d1",
    "uniform_fan_in": "uniform",
    "uniform_symmetric": "random",
    "xavier_fan_in": "lecun_normal",
    "zer_o": "zero_hadamard",
    "zeros": "zero",
}

_RELU = math.sqrt(2)

# Read in the sources of torch 2.13, Keras 3.15, JAX 0.10, Flax and Haiku; Caffe's from its filler.hpp.
_BY_FRAMEWORK: dict[str, dict[str, dict[str, Any]]] = {
    "torch": {
        "default": {"law": "uniform_fan_in", "bias": "uniform_fan_in"},
        "normal": {"law": "normal", "std": 1.0},
        "uniform": {"law": "uniform", "low": 0.0, "high": 1.0},
        "truncated_normal": {"law": "truncated_normal", "std": 1.0},
        "xavier_normal": {"law": "glorot_normal"},
        "xavier_uniform": {"law": "glorot_uniform"},
        "he_normal": {"law": "he_normal", "gain": _RELU},
        "he_uniform": {"law": "he_uniform", "gain": _RELU},
        "orthogonal": {"law": "orthogonal"},
        "sparse": {"law": "sparse_torch"},
        "identity": {"law": "identity"},
        "dirac": {"law": "dirac"},
    },
    "keras": {
        "default": {"law": "glorot_uniform"},
        "normal": {"law": "normal", "std": 0.05},
        "uniform": {"law": "uniform", "low": -0.05, "high": 0.05},
        "truncated_normal": {"law": "truncated_normal", "std": 0.05},
        "variance_scaling": {"law": "variance_scaling", "distribution": "truncated_normal"},
        "lecun_normal": {"law": "lecun_truncated"},
        "lecun_uniform": {"law": "lecun_uniform"},
        "xavier_normal": {"law": "glorot_truncated"},
        "xavier_uniform": {"law": "glorot_uniform"},
        "he_normal": {"law": "he_truncated", "gain": _RELU},
        "he_uniform": {"law": "he_uniform", "gain": _RELU},
        "orthogonal": {"law": "orthogonal"},
        "identity": {"law": "identity"},
    },
    "jax": {
        "normal": {"law": "normal", "std": 0.01},
        "uniform": {"law": "uniform", "low": 0.0, "high": 0.01},
        "truncated_normal": {"law": "truncated_normal", "std": 0.01},
        "lecun_normal": {"law": "lecun_truncated"},
        "lecun_uniform": {"law": "lecun_uniform"},
        "xavier_normal": {"law": "glorot_truncated"},
        "xavier_uniform": {"law": "glorot_uniform"},
        "he_normal": {"law": "he_truncated", "gain": _RELU},
        "he_uniform": {"law": "he_uniform", "gain": _RELU},
        "orthogonal": {"law": "orthogonal"},
        "delta_orthogonal": {"law": "delta_orthogonal"},
    },
    "flax": {"default": {"law": "lecun_truncated"}},
    # A cut normal whose variance Haiku does not restore: 0.8796 of LeCun's standard deviation.
    "haiku": {
        "default": {"law": "variance_scaling", "scale": 0.8796256610342398**2, "distribution": "truncated_normal"}
    },
    "caffe": {
        "xavier": {"law": "lecun_uniform"},
        "he_normal": {"law": "he_normal", "gain": _RELU},
    },
}

VIEWS: dict[str, dict[str, Any]] = {
    f"{name}@{framework}": {"name": f"{name}@{framework}", **node}
    for framework, names in _BY_FRAMEWORK.items()
    for name, node in names.items()
}


def canonical(name: str) -> str:
    """The name of the option or view that ``name`` stands for; an unknown name stays as it is."""
    base, at, framework = name.partition("@")
    if not at:
        return ALIASES.get(name, name)
    return name if name in VIEWS else f"{ALIASES.get(base, base)}@{framework}"
