"""Initialize anyone's model: ``initbench.initialize(model, "he_normal", seed=0)``."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from numbers import Integral
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from initbench.data_driven import DATA_LAWS
from initbench.data_driven.module import unit_variance
from initbench.errors import InputError, in_one_line
from initbench.initializers import BIASES, Certificate, Law, certify
from initbench.initializers.network import Part, assign, refusal
from initbench.initializers.parameters import Parameter, ParameterBlock
from initbench.initializers.plugins import law_of
from initbench.initializers.schemes import NEUTRAL, SCHEMES, Draw, Rule, scheme_rules
from initbench.models.roles import as_weight, parameters
from initbench.printable import printable
from initbench.probing.calls import called, untouched
from initbench.settings import check, resolve
from initbench.settings.catalogue import Catalogue
from initbench.trial import Named
from initbench.values import shown

# An option's name, a function (shape, rng) -> array, or a mapping with a name and parameters.
Spec = str | Callable[..., NDArray[Any]] | Mapping[str, Any]

# More than this part of a tensor cannot be lost to a precision by chance.
_LOST = 0.01


def initialize(
    model: nn.Module,
    init: Spec = "he_normal",
    *,
    activation: str | Mapping[str, Any] | None = None,
    bias: str | Mapping[str, Any] | None = None,
    seed: int = 0,
    layers: Mapping[str, Spec] | None = None,
    blocks: Mapping[str, int | Sequence[int]] | None = None,
    inputs: Any = None,
    **params: Any,
) -> dict[str, Certificate]:
    """Draw the weights and biases of a model anew, in place: what ``initbench run`` trains under the same names.

    Linear layers (torch's, and the ``Conv1D`` of Hugging Face's GPT-2), convolutions, transposed convolutions,
    embeddings, recurrent layers and attention projections get the initializer; biases their policy; normalisations
    start as the identity (scale 1, shift 0). Under weight norm the magnitudes are the norms of what was drawn. Other
    parameters are left as they are, with a certificate that says so, and a warning where one looks like a weight.
    Fans are those of one group of a grouped convolution, and of one of several matrices in one parameter (the query,
    key and value of ``in_proj_weight`` or of a linear layer named so, the gates of an LSTM), and are not swapped in a
    transposed convolution; torch's are. Strides count nowhere. An embedding is read as ``[num, dim]``, one row per
    entry, as torch and Flax do.

    Every parameter has a random stream of its own, named by the seed and the parameter's name: what it gets depends on
    no other layer and on no global state, and the model's device and precision change nothing but the rounding.

    Args:
        model: any module whose parameters have their shapes.
        init: an option of ``initbench list initializers``, an alias, a framework's view such as ``he_normal@keras``, a
            mapping with ``name`` and parameters, or a function ``(shape, rng) -> array``.
        activation: a name of ``initbench list activations``, or a mapping with ``name`` and parameters: what a gain
            that is asked for by name (``gain="auto"``, ``"torch"`` or ``"critical"``) follows from. It changes no
            other.
        bias: a policy of ``initbench list biases``, or a mapping with ``name`` and parameters; None is each
            initializer's own: zeros for all but ``torch_default``, ``critical`` and ``siren``.
        seed: any integer >= 0.
        layers: pattern of parameter names, as ``"fc.*"``, to the initializer of those; the first that matches counts.
        blocks: pattern of a linear layer's name, as ``"*.to_qkv"``, to how many matrices lie in it on top of each
            other, or to the rows of each, where its name does not say it.
        inputs: for ``lsuv`` alone: training inputs, as the model is called with them: a tensor, a tuple or list of
            arguments, a mapping of keywords. One pass, in the mode that the model is in.
        params: of ``init``'s law, as ``std=0.02``.

    Returns:
        One certificate for each parameter, by its name, of what the tensor now holds.

    Warns:
        UserWarning: a trained parameter that looks like a weight stays as it is, or one that holds complex or whole
            numbers.

    Raises:
        InputError: an unknown name or parameter, a law that cannot serve a layer, or one that breaks its promise, or
            weights that the model's precision or memory cannot hold. The model is then as it was.
    """
    if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
        raise InputError(f"seed must be a whole number >= 0; got {shown(seed)}")
    if not isinstance(model, nn.Module):
        raise InputError(f"model must be an nn.Module; got {type(model).__name__}")
    for name, patterns in (("layers", layers), ("blocks", blocks)):
        if not isinstance(patterns, Mapping | None):
            raise InputError(f"{name} must be a mapping from patterns of names; got {type(patterns).__name__}")
    of_activation = None if activation is None else _activation(activation)
    policy = None if bias is None else _policy(bias, of_activation)
    if (base := _scaled_base(init, params, inputs)) is not None:
        more = {"activation": activation, "bias": bias, "seed": seed, "layers": layers, "blocks": blocks}
        return _with_unit_variance(model, inputs, lambda: initialize(model, base, **more))
    layers = layers or {}
    found = parameters(model, blocks)
    rules: list[Rule] = []
    for pattern, spec in layers.items():
        rules += _rules(spec, {}, of_activation, policy, found, pattern)
        if not any(fnmatchcase(parameter.name, pattern) for parameter in found):
            raise InputError(f"layers: '{pattern}' matches no parameter of the model")
    rules += (*_rules(init, params, of_activation, policy, found), *NEUTRAL)
    # What no layer of a known kind holds is one weight, if it is named.
    named = [
        as_weight(one) if "other" in one.roles and one.tensor.ndim > 1 and _is_named(one, layers) else one
        for one in found
    ]
    # No law draws complex or whole numbers.
    drawable = [one if one.tensor.is_floating_point() else _as_other(one) for one in named]
    new: list[tuple[nn.Parameter, torch.Tensor]] = []
    certificates, kept = {}, []
    parts = assign(drawable, rules, frozen=True)
    for part in parts:
        if part.kept:
            certificates[part.name] = certify(part.law, _as_numbers(part.parameter.tensor))
            kept += [part.parameter] if part.parameter.tensor.requires_grad else []
            continue
        values, certificates[part.name] = _drawn(part, int(seed))
        new.append((part.parameter.tensor, values))
    _check_memory([(part.name, part.parameter.tensor) for part in parts if not part.kept])
    with torch.no_grad():
        for tensor, values in new:
            tensor.copy_(values)
    unreal = [one for one in named if not one.tensor.is_floating_point() and "other" not in one.roles]
    if unreal or any(one.looks_like_a_weight for one in kept):
        warnings.warn(printable(_kept(kept, unreal, named)), UserWarning, stacklevel=2)
    return certificates


def _scaled_base(init: Spec, params: Mapping[str, Any], inputs: Any) -> str | None:
    """What draws the weights that LSUV scales; None where it is not asked for."""
    node, catalogue = {"name": "function"} if callable(init) else _node("init", init), Catalogue()
    if not callable(init):
        node = catalogue.option("init", node.pop("name")) | node | dict(params)
    if node.get("law") != "lsuv":
        if inputs is not None:
            raise InputError("inputs are for init 'lsuv'; no other law of anyone's model looks at data")
        return None
    if inputs is None:
        raise InputError("init 'lsuv' needs training inputs: inputs=, what the model is called with")
    return str(check.option("init", node, catalogue.laws).params["base"])


def _with_unit_variance(
    model: nn.Module, inputs: Any, draw: Callable[[], dict[str, Certificate]]
) -> dict[str, Certificate]:
    before = {name: one.detach().clone() for name, one in model.named_parameters()}
    try:
        certificates = draw()
        with untouched(model), in_one_line(f"{type(model).__name__} on these inputs"):
            scaled = unit_variance(model, lambda: called(model, inputs))
    except Exception:
        with torch.no_grad():
            for name, one in model.named_parameters():
                one.copy_(before[name])
        raise
    of = dict(model.named_parameters())
    return certificates | {name: certify("lsuv", _as_numbers(of[name])) for name in scaled}


def _is_named(parameter: Parameter, layers: Mapping[str, Spec]) -> bool:
    return any(fnmatchcase(parameter.name, pattern) for pattern in layers)


def _as_other(parameter: Parameter) -> Parameter:
    """A parameter as one of no known layer, which nothing draws."""
    return replace(parameter, blocks=(ParameterBlock(tuple(parameter.tensor.shape), ("other",)),))


def _as_numbers(tensor: torch.Tensor) -> NDArray[Any]:
    """What a tensor holds; of a complex one the real and the imaginary parts."""
    parts = torch.view_as_real(tensor.detach()) if tensor.is_complex() else tensor.detach()
    return np.asarray(parts.float().cpu().numpy())


def _kept(kept: Sequence[Parameter], unreal: Sequence[Parameter], every: Sequence[Parameter]) -> str:
    """What was left as it was, how much of the model that is, and why.

    Args:
        kept: what is trained.
        unreal: what should be drawn and does not hold real numbers.
        every: all parameters.
    """
    left = {one.name: one for one in (*kept, *unreal)}
    share = sum(one.tensor.numel() for one in left.values()) / sum(one.tensor.numel() for one in every)
    names = ", ".join([*left][:5]) + (f" and {len(left) - 5} more" if len(left) > 5 else "")
    why = []
    if any(one.tensor.is_floating_point() for one in left.values()):
        why.append("They belong to no layer whose weights it knows; name them in layers= to have them drawn")
    if unlike := {one.name: one.tensor.dtype for one in left.values() if not one.tensor.is_floating_point()}:
        why.append("Only real numbers are drawn: " + ", ".join(f"{name} is {dtype}" for name, dtype in unlike.items()))
    return f"initialize left {share:.1%} of the parameters as they were: {names}. {'. '.join(why)}"


def _check_memory(drawn: Sequence[tuple[str, torch.Tensor]]) -> None:
    """Refuse parameters that cannot be written, or not without changing another's values.

    Raises:
        InputError: one was made in inference mode, or two entries, of one parameter or of two, are the same memory.
    """
    by_storage: dict[tuple[torch.device, int], list[tuple[str, torch.Tensor]]] = {}
    for name, tensor in drawn:
        if tensor.is_inference() and not torch.is_inference_mode_enabled():
            raise InputError(f"{name} was made in inference mode and cannot be changed; make the model outside of it")
        memory = tensor.device, tensor.untyped_storage().data_ptr()
        by_storage.setdefault(memory, []).append((name, tensor))
    for shared in by_storage.values():
        if len(shared) == 1 and shared[0][1].is_contiguous():
            continue
        names = " and ".join(name for name, _ in shared)
        places = []
        for _, tensor in shared:
            of_storage = torch.arange(tensor.untyped_storage().nbytes() // tensor.element_size())
            places.append(
                of_storage.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset()).flatten().numpy()
            )
        every = np.concatenate(places)
        if len(np.unique(every)) < len(every):
            raise InputError(f"entries of {names} are the same memory; tie whole parameters: a.weight = b.weight")


def _drawn(part: Part, seed: int) -> tuple[torch.Tensor, Certificate]:
    """The new values of a parameter in its own precision, and the certificate of these."""
    dtype = part.parameter.tensor.dtype
    blocks = exact = part.blocks(seed)
    rounding = 0.0
    if dtype not in (torch.float32, torch.float64):
        rounding = torch.finfo(dtype).eps / 2
        blocks = [torch.from_numpy(np.ascontiguousarray(block)).to(dtype).float().numpy() for block in exact]
    where = f"{'bias' if 'bias' in part.parameter.roles else 'init'} '{part.law}' on {part.name}"
    if not all(np.isfinite(block).all() for block in blocks):
        raise InputError(f"{where}: a value is too large for {dtype}")
    n_lost = sum(int(((block == 0) & (drawn != 0)).sum()) for block, drawn in zip(blocks, exact, strict=True))
    n = sum(block.size for block in blocks)
    if n_lost > _LOST * n:
        raise InputError(f"{where}: {n_lost} of {n} values become 0, too small for {dtype}")
    certificate = part.certificate(blocks, rounding)
    if certificate.faults:
        raise InputError(f"{where}: {certificate.faults[0]}")
    return torch.from_numpy(part.parameter.assembled(blocks)).to(dtype), certificate


def _activation(activation: str | Mapping[str, Any]) -> Named:
    return resolve.activation(check.option("activation", _node("activation", activation), {}))


def _policy(bias: str | Mapping[str, Any], activation: Named | None) -> Named:
    node = _node("bias", bias)
    if node["name"] == "critical":
        node.setdefault("std", "auto")
    return resolve.bias_policy(check.option("bias", node, {}), activation)


def _node(what: str, given: Any) -> dict[str, Any]:
    """A name alone, or a name with parameters."""
    if not isinstance(given, str | Mapping):
        raise InputError(f"{what} must be a name, or a mapping with a 'name'; got {type(given).__name__}")
    node = {"name": given} if isinstance(given, str) else {key: _plain(value) for key, value in given.items()}
    if not isinstance(node.get("name"), str):
        raise InputError(f"{what}: a mapping must have a 'name'; got {node}")
    return node


def _plain(value: Any) -> Any:
    """A scalar of NumPy or torch as Python's own."""
    return value.item() if isinstance(value, np.generic | np.ndarray | torch.Tensor) and value.ndim == 0 else value


def _rules(
    spec: Spec,
    params: Mapping[str, Any],
    activation: Named | None,
    policy: Named | None,
    found: Sequence[Parameter],
    pattern: str = "*",
) -> tuple[Rule, ...]:
    """What an initializer asks of the parameters of these names, with its own biases where no policy is given."""
    if callable(spec):
        name = getattr(spec, "__name__", "function")
        law = Law(spec, "a function of yours", "you")
        return scheme_rules(Draw(name, law, tuple(params.items())), _bias(policy or Named("zeros")), None, pattern)
    given, catalogue = _node("init", spec), Catalogue()
    node = catalogue.option("init", given.pop("name")) | given | {key: _plain(value) for key, value in params.items()}
    if node["law"] in DATA_LAWS:
        raise InputError(f"init '{node['name']}' sets up the plain perceptrons of 'initbench run' only; use another")
    wanted = check.option("init", node, catalogue.laws)
    biases = policy or resolve.bias_policy(check.bias(None, wanted), activation)
    init = resolve.initializer(wanted, activation, biases, catalogue.laws)
    scheme = SCHEMES.get(init.scheme)
    if scheme is not None and (why_not := refusal(scheme, found)):
        raise InputError(f"init '{init.name}' {why_not}")
    return scheme_rules(
        Draw(init.name, law_of(init.law, init.code, init.file), init.params), _bias(biases), scheme, pattern
    )


def _bias(policy: Named) -> Draw:
    if policy.name == "log_prior":
        raise InputError("bias 'log_prior' needs to know the output layer and its data; fill that bias yourself")
    return Draw(policy.name, BIASES[policy.name], policy.params)
