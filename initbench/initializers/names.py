"""Other names of initializers: aliases of an option, and what the name means in a certain framework.

An option is a file in ``configs/init/``. ``kaiming_normal`` is an alias of one; ``he_normal@keras`` is a view: the law
that Keras draws under that name, which is not the law torch draws under it.
"""

import math
from typing import Any

from initbench.errors import folded

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
_BY_FRAMEWORK: dict[str, dict[str, tuple[str, dict[str, Any]]]] = {
    "torch": {
        "default": (
            "reset_parameters of torch.nn's layers",
            {"law": "uniform_fan_in", "bias": "uniform_fan_in", "scheme": "torch"},
        ),
        "normal": ("torch.nn.init.normal_", {"law": "normal", "std": 1.0}),
        "uniform": ("torch.nn.init.uniform_", {"law": "uniform", "low": 0.0, "high": 1.0}),
        "truncated_normal": ("torch.nn.init.trunc_normal_", {"law": "truncated_torch"}),
        "xavier_normal": ("torch.nn.init.xavier_normal_", {"law": "glorot_normal"}),
        "xavier_uniform": ("torch.nn.init.xavier_uniform_", {"law": "glorot_uniform"}),
        "he_normal": ("torch.nn.init.kaiming_normal_", {"law": "he_normal", "gain": _RELU}),
        "he_uniform": ("torch.nn.init.kaiming_uniform_", {"law": "he_uniform", "gain": _RELU}),
        "orthogonal": ("torch.nn.init.orthogonal_", {"law": "orthogonal"}),
        "sparse": ("torch.nn.init.sparse_", {"law": "sparse_torch"}),
        "identity": ("torch.nn.init.eye_", {"law": "identity"}),
        "dirac": ("torch.nn.init.dirac_", {"law": "dirac"}),
    },
    "keras": {
        "default": ("keras.layers.Dense", {"law": "glorot_uniform"}),
        "normal": ("keras.initializers.RandomNormal", {"law": "normal", "std": 0.05}),
        "uniform": ("keras.initializers.RandomUniform", {"law": "uniform", "low": -0.05, "high": 0.05}),
        "truncated_normal": ("keras.initializers.TruncatedNormal", {"law": "truncated_normal", "std": 0.05}),
        "variance_scaling": (
            "keras.initializers.VarianceScaling",
            {"law": "variance_scaling", "distribution": "truncated_normal"},
        ),
        "lecun_normal": ("keras.initializers.LecunNormal", {"law": "lecun_truncated"}),
        "lecun_uniform": ("keras.initializers.LecunUniform", {"law": "lecun_uniform"}),
        "xavier_normal": ("keras.initializers.GlorotNormal", {"law": "glorot_truncated"}),
        "xavier_uniform": ("keras.initializers.GlorotUniform", {"law": "glorot_uniform"}),
        "he_normal": ("keras.initializers.HeNormal", {"law": "he_truncated", "gain": _RELU}),
        "he_uniform": ("keras.initializers.HeUniform", {"law": "he_uniform", "gain": _RELU}),
        "orthogonal": ("keras.initializers.Orthogonal", {"law": "orthogonal"}),
        "identity": ("keras.initializers.Identity", {"law": "identity"}),
    },
    "jax": {
        "normal": ("jax.nn.initializers.normal", {"law": "normal", "std": 0.01}),
        "uniform": ("jax.nn.initializers.uniform", {"law": "uniform", "low": 0.0, "high": 0.01}),
        "truncated_normal": ("jax.nn.initializers.truncated_normal", {"law": "truncated_normal", "std": 0.01}),
        "lecun_normal": ("jax.nn.initializers.lecun_normal", {"law": "lecun_truncated"}),
        "lecun_uniform": ("jax.nn.initializers.lecun_uniform", {"law": "lecun_uniform"}),
        "xavier_normal": ("jax.nn.initializers.glorot_normal", {"law": "glorot_truncated"}),
        "xavier_uniform": ("jax.nn.initializers.glorot_uniform", {"law": "glorot_uniform"}),
        "he_normal": ("jax.nn.initializers.he_normal", {"law": "he_truncated", "gain": _RELU}),
        "he_uniform": ("jax.nn.initializers.he_uniform", {"law": "he_uniform", "gain": _RELU}),
        "orthogonal": ("jax.nn.initializers.orthogonal", {"law": "orthogonal"}),
        "delta_orthogonal": ("jax.nn.initializers.delta_orthogonal", {"law": "delta_orthogonal"}),
    },
    "flax": {"default": ("flax.linen.Dense", {"law": "lecun_truncated"})},
    # A cut normal whose variance Haiku does not restore: 0.8796 of LeCun's standard deviation.
    "haiku": {
        "default": (
            "haiku.Linear",
            {"law": "variance_scaling", "scale": 0.8796256610342398**2, "distribution": "truncated_normal"},
        )
    },
    "caffe": {
        "xavier": ("Caffe's XavierFiller", {"law": "lecun_uniform"}),
        "he_normal": ("Caffe's MSRAFiller", {"law": "he_normal", "gain": _RELU}),
    },
}

VIEWS: dict[str, dict[str, Any]] = {
    f"{name}@{framework}": {"name": f"{name}@{framework}", **node}
    for framework, names in _BY_FRAMEWORK.items()
    for name, (_, node) in names.items()
}
# What draws so, by the name of the view.
VIEW_SOURCES: dict[str, str] = {
    f"{name}@{framework}": source for framework, names in _BY_FRAMEWORK.items() for name, (source, _) in names.items()
}


def canonical(name: str) -> str:
    """The name of the option or view that ``name`` stands for; an unknown name stays as it is."""
    base, at, framework = name.partition("@")
    if not at:
        return ALIASES.get(name, name)
    return name if name in VIEWS else f"{ALIASES.get(base, base)}@{framework}"


_FOLDED = {folded(alias): name for alias, name in ALIASES.items()}


def in_any_case(name: str) -> str:
    """As :func:`canonical` has an alias, in another case or with other signs between words: ``Kaiming_Normal_``."""
    return _FOLDED.get(folded(name), name)
