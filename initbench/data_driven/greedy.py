"""Greedy layer-wise unsupervised pre-training (article D1): each hidden layer learns to reconstruct what is below it.

The layers are trained one after the other, from the first to the last hidden one; the layers below are frozen, the
output layer keeps what it was drawn. What is thrown away afterwards is the way down: the offsets.
"""

import numpy as np

from initbench.data_driven.problem import ParamArrays, Prepared, Problem, moments
from initbench.engine.checkpoints import State
from initbench.seeding import permutation, stream


def pretrain_autoencoder(
    problem: Problem, *, base: str = "he_normal", epochs: int = 10, lr: float = 0.01, batch: int = 64
) -> Prepared:
    """Train each hidden layer as an autoencoder with tied weights, r = ψ(Wᵀ φ(W a + b) + c).

    Where a is the output of sigmoids, in 0..1, ψ is the logistic function and the loss the cross-entropy of a and r;
    elsewhere, above all in the first layer, ψ is the identity and the loss ½‖r − a‖². Both are summed over the
    elements and averaged over the samples, and have the gradient r − a.

    Args:
        problem: the network drawn by the base law, and the training inputs.
        base: the law of the weights before they are trained.
        epochs: of each layer.
        lr: Adam's step size at first; it falls linearly to 0 with each layer.
        batch: samples of a step.

    Raises:
        ValueError: there is no hidden layer, or a reconstruction is not finite.

    References:
        Bengio et al. 2007, NIPS 19:153-160; tied weights: Vincent et al. 2008, section 2.2.
    """
    return _greedy(problem, epochs, lr, batch, corruption=0.0)


def pretrain_denoising(
    problem: Problem,
    *,
    base: str = "he_normal",
    epochs: int = 10,
    lr: float = 0.01,
    batch: int = 64,
    corruption: float = 0.25,
) -> Prepared:
    """As :func:`pretrain_autoencoder`, from inputs of which some elements are missing, others at every look.

    A missing element is replaced by its mean over the training inputs. The paper's 0 says as little on its images,
    where most pixels are 0; in inputs that are all near 0.5, as a sigmoid's are, it would outweigh what is to be
    learned. The error is that to the whole input, and the next layer is trained on codes of whole inputs.

    Args:
        problem: the network drawn by the base law, and the training inputs.
        base: the law of the weights before they are trained.
        epochs: of each layer.
        lr: Adam's step size at first; it falls linearly to 0 with each layer.
        batch: samples of a step.
        corruption: the probability that an element is missing, in [0, 1).

    Raises:
        ValueError: as :func:`pretrain_autoencoder`, or a corruption out of range.

    References:
        Vincent et al. 2008, ICML, pp. 1096-1103, section 2.3.
    """
    if not 0 <= corruption < 1:
        raise ValueError(f"corruption must be in [0, 1); got {corruption}")
    return _greedy(problem, epochs, lr, batch, corruption)


def pretrain_rbm(
    problem: Problem, *, base: str = "normal", epochs: int = 10, lr: float = 0.01, batch: int = 64
) -> Prepared:
    """Train each hidden layer as a restricted Boltzmann machine by contrastive divergence, CD-1: a deep belief net.

    Hidden units are binary. Visible units are Gaussian with variance 1 in the first layer and binary above, where the
    probabilities of the units below are the data. With the activation sigmoid the network then computes what the
    machines computed; with another it takes over their weights and biases all the same.

    Args:
        problem: the network drawn by the base law, and the training inputs.
        base: the law of the weights before they are trained; the practical guide's is N(0, 0.01²).
        epochs: of each layer.
        lr: Adam's step size at first; it falls linearly to 0 with each layer.
        batch: samples of a step.

    Raises:
        ValueError: there is no hidden layer, or a reconstruction is not finite.

    References:
        Hinton, Osindero & Teh 2006, Neural Computation 18(7):1527-1554, section 5; Bengio et al. 2007.
    """
    return _greedy(problem, epochs, lr, batch, machine=True)


def _greedy(
    problem: Problem, epochs: int, lr: float, batch: int, corruption: float = 0.0, machine: bool = False
) -> Prepared:
    from initbench.engine.compiled import blas, unsupervised
    from initbench.engine.compiled.memory import Inputs, Signals

    hidden, params = problem.n_layers - 1, ParamArrays(problem.params)
    if not hidden:
        raise ValueError("it trains hidden layers; there are none at depth=0")
    route = blas.chosen(problem.blas)
    route.enter_thread()
    given, seed, n = problem.inputs, problem.seed, len(problem.inputs)
    by_std = (1 / given.std.astype(np.float64)).astype(np.float32)
    inputs, signals = Inputs(given.x, given.mean.astype(np.float32), by_std), Signals(problem.steps, problem.stop)
    fill, below = given.moments
    per_epoch = -(-n // batch)
    lrs = lr * (1 - np.arange(epochs * per_epoch) / (epochs * per_epoch)).reshape(epochs, per_epoch)
    reconstruction, position, layer = np.zeros((hidden, 2)), np.zeros(2, np.int64), None
    room = max(unsupervised.size(params[f"layers.{index}.weight"]) for index in range(hidden))

    def state() -> State:
        # Of the layer in training, in room for the largest: its parameters and Adam's two buffers.
        training = np.zeros((3, room), np.float32)
        if layer is not None:
            training[0, : len(layer.params)], training[1:, : len(layer.params)] = layer.params, layer.state
        return {**params, "training": training, "position": position, "reconstruction": reconstruction}

    if (found := problem.kept.find(state)) is not None:
        params |= {name: found[name] for name in params}
        position, reconstruction = found["position"].copy(), found["reconstruction"].copy()
        problem.steps[0] = (position[0] * epochs + position[1]) * per_epoch
    trained, begun = position.tolist()
    for index in range(hidden if trained < hidden else 0):
        activation, parameter = ("sigmoid", 0.0) if machine else (problem.activation, problem.parameter)
        name, binary = f"layers.{index}", index > 0 and activation == "sigmoid"
        weight, bias = params[f"{name}.weight"], params[f"{name}.bias"]
        product, noise = route.product(weight.dtype), unsupervised.Noise(corruption, fill)
        layer = unsupervised.layer(weight, bias, activation, parameter, batch, product)
        if found is not None and index == trained and begun:
            layer.params[:] = found["training"][0, : len(layer.params)]
            layer.state[:] = found["training"][1:, : len(layer.params)]
        for epoch in range(begun if index == trained else 0, epochs if index >= trained else 0):
            at = f"{name}.epoch.{epoch}"
            order, rng = permutation(n, seed, "pretrain-order", at), stream(seed, "corruption", at)
            loss = unsupervised.train_epoch(
                layer, machine, binary, inputs, order, lrs[epoch], epoch * per_epoch, noise, rng, signals
            )
            if not np.isfinite(loss):
                raise ValueError(f"the reconstruction by {name} is not finite after {epoch + 1} epochs")
            if problem.stop[0]:
                return Prepared(params)
            position[:] = index, epoch + 1
            problem.kept.offer(state)
        codes = np.empty((n, len(bias)), np.float32)
        error = unsupervised.encode(layer, binary, inputs, codes)
        if index >= trained:
            reconstruction[index] = error / n, below
            weight, bias, _ = unsupervised.parts(layer, layer.params)
            params[f"{name}.weight"], params[f"{name}.bias"] = weight.copy(), bias.copy()
            position[:] = index + 1, 0
            problem.kept.offer(state, finished=index + 1 == hidden)
        inputs = Inputs(codes, np.zeros(codes.shape[1], np.float32), np.ones(codes.shape[1], np.float32))
        fill, below = moments(*inputs)
    return Prepared(
        params,
        samples=hidden * (epochs + 1) * n,
        steps=hidden * epochs * per_epoch,
        reconstruction=tuple((float(error), float(mean)) for error, mean in reconstruction),
    )
