"""What people write from habit, of other tools and libraries, and how it is written here."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from initbench.data_driven import INITIALIZERS
from initbench.errors import folded
from initbench.settings.schema import COMMON, GROUPS, SETTINGS, kinds, parameters
from initbench.values import exact

# Words for settings, without the signs between their parts.
_SETTINGS = {
    "act": "activation",
    "activationfn": "activation",
    "activationfunction": "activation",
    "nonlinearity": "activation",
    "batch": "batch_size",
    "batchsize": "batch_size",
    "bs": "batch_size",
    "minibatch": "batch_size",
    "data": "dataset",
    "task": "dataset",
    "layers": "depth",
    "hiddenlayers": "depth",
    "numlayers": "depth",
    "nlayers": "depth",
    "hidden": "width",
    "hiddensize": "width",
    "hiddendim": "width",
    "units": "width",
    "neurons": "width",
    "gpu": "device",
    "initializer": "init",
    "initialiser": "init",
    "initialization": "init",
    "initialisation": "init",
    "weightinit": "init",
    "kernelinitializer": "init",
    "biasinitializer": "bias",
    "biasinit": "bias",
    "eta": "lr",
    "learningrate": "lr",
    "stepsize": "lr",
    "arch": "model",
    "architecture": "model",
    "net": "model",
    "network": "model",
    "batchnorm": "model.norm",
    "normalization": "model.norm",
    "maxepochs": "epochs",
    "nepochs": "epochs",
    "numepochs": "epochs",
    "opt": "optimizer",
    "optim": "optimizer",
    "optimiser": "optimizer",
    "l2": "optimizer.weight_decay",
    "wd": "optimizer.weight_decay",
    "lrschedule": "schedule",
    "lrscheduler": "schedule",
    "scheduler": "schedule",
    "warmupepochs": "warmup",
    "seed": "seeds",
    "nseeds": "seeds",
    "numseeds": "seeds",
    "randomseed": "seeds",
    "runs": "seeds",
    "nruns": "seeds",
    "repeats": "seeds",
    "trials": "seeds",
    "output": "results",
    "outputdir": "results",
    "resultsdir": "results",
    "runname": "name",
    "preset": "experiment",
}
# Words for options, by their group.
_OPTIONS = {
    "activation": {
        "swish": "silu",
        "linear": "identity",
        "none": "identity",
        "leaky": "leaky_relu",
        "logistic": "sigmoid",
    },
    "optimizer": {"momentum": "sgd", "nesterov": "sgd optimizer.nesterov=true"},
    "model": {"dnn": "mlp", "fc": "mlp", "ffn": "mlp", "perceptron": "mlp", "convnet": "cnn", "resnet": "residual_cnn"},
    "dataset": {
        "fashion": "fashion_mnist",
        "cifar": "cifar10",
        "sklearn": "digits",
        "file": "csv dataset.path=FILE.csv",
    },
    "protocol": {"default": "fixed", "search": "tuned", "tune": "tuned"},
}
# Whose parameters go first where several groups have one of a name.
_FIRST = ("optimizer", "dataset", "model", "init", "activation", "bias")


def key_of(word: str) -> str:
    """The setting that a word stands for, itself too; empty where it is none."""
    plain = folded(word)
    names = [name for name in SETTINGS if folded(name) == plain]
    if names or plain in _SETTINGS:
        return names[0] if names else _SETTINGS[plain]
    for group in _FIRST:
        for kind in kinds(group, INITIALIZERS):
            found = (*(parameters(group, kind, INITIALIZERS) or ()), *COMMON[group])
            names = [p.name for p in found if folded(p.name) == plain and p.name not in ("name", "source", "law")]
            if names:
                return f"{group}.{names[0]}"
    return ""


def setting(key: str, values: Sequence[Any]) -> str:
    """How a setting that there is not should have been written, with these values; empty where nobody knows."""
    known = key_of(key)
    return f"{known}={_values(known, values)}" if known and known != key else ""


def _values(key: str, values: Sequence[Any]) -> str:
    if key == "device" and values:
        return "cuda"
    return ",".join(map(exact, values)) or "…"


def value(group: str, key: str, name: str) -> str:
    """How an option that there is not should have been written; empty where nobody knows."""
    if name in ("*", "all"):
        return f"'{key}=glob(*)'"
    known = _OPTIONS.get(group, {}).get(name.casefold())
    return f"{key}={known}" if known else ""


def word(text: str, before: Sequence[str], after: Sequence[str], groups: Mapping[str, Collection[str]]) -> str:
    """How a word that is no ``KEY=VALUE`` should have been written; empty where nobody knows.

    Args:
        text: the word.
        before: the words before it.
        after: the words after it.
        groups: the names of every setting that names an option.
    """
    following = after[0] if after else ""
    if before and before[-1].endswith("="):
        return f"{before[-1]}{text}, without a space"
    if text.endswith(",") and following and "=" not in following:
        return f"{text}{following}, without a space"
    if text.endswith(",") and "=" in text:
        return text.rstrip(",")
    if following in ("=", ":") and len(after) > 1 and key_of(text):
        return f"{key_of(text)}={after[1]}, without spaces"
    for sign in ("==", ":=", ":"):
        key, found, rest = text.partition(sign)
        if found and rest and key_of(key):
            return f"{key_of(key)}={rest}"
    if key_of(text) and following and "=" not in following:
        return f"{key_of(text)}={following}"
    return option(text, groups) or (f"{key_of(text)}=VALUE" if key_of(text) else "")


def option(name: str, groups: Mapping[str, Collection[str]]) -> str:
    """The setting that takes a name, with it: ``init=he`` of ``he``; empty where none does."""
    from initbench.initializers.names import ALIASES

    for key in GROUPS:
        for known in (*groups.get(key, ()), *(ALIASES if key == "init" else ())):
            if folded(known) == folded(name) and key != "bias":
                return f"{key}={known}"
    return ""
