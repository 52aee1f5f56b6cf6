"""Compiled loops over the numbers of one network: inputs, loss, biases and updates."""

import math

from initbench.engine.compiled.elementary import compiled, exp


@compiled
def standardise(row, mean, by_std, out):
    """``(row - mean) / std`` of one sample, given ``1 / std``."""
    for j in range(len(out)):
        out[j] = (out.dtype.type(row[j]) - mean[j]) * by_std[j]


@compiled
def add_bias(z, bias, n_rows):
    """Add a bias to every row of ``z``, flat."""
    m = len(bias)
    for i in range(n_rows):
        row = z[i * m : (i + 1) * m]
        for j in range(m):
            row[j] += bias[j]


@compiled
def multiply(a, b):
    """``a *= b``."""
    for i in range(len(a)):
        a[i] *= b[i]


@compiled
def sum_rows(matrix, total):
    """The sum of the rows of a matrix, flat: the gradient of a bias."""
    m = len(total)
    for j in range(m):
        total[j] = 0
    for i in range(len(matrix) // m):
        row = matrix[i * m : (i + 1) * m]
        for j in range(m):
            total[j] += row[j]


@compiled
def cross_entropy(logits, classes, grad):
    """The summed cross-entropy of a batch, and how many samples are classified correctly (the first of equals wins).

    Args:
        logits: ``[batch, classes]``.
        classes: ``[batch]``.
        grad: filled with the gradient of the mean.

    Returns:
        The sum is NaN if a logit is NaN or infinite.
    """
    n, m = logits.shape
    loss, n_correct, share = 0.0, 0, logits.dtype.type(1.0 / n)
    for i in range(n):
        best = 0
        for j in range(m):
            if not abs(logits[i, j]) < math.inf:
                loss = math.nan
            if logits[i, j] > logits[i, best]:
                best = j
        n_correct += best == classes[i]
        top, total = logits[i, best], logits.dtype.type(0)
        for j in range(m):
            grad[i, j] = exp(logits[i, j] - top)
            total += grad[i, j]
        loss += math.log(total) + (top - logits[i, classes[i]])
        for j in range(m):
            grad[i, j] *= share / total
        grad[i, classes[i]] -= share
    return loss, n_correct


# Updates of one parameter, flat, as torch makes them; the hyperparameters are float64.


@compiled
def decay_velocity(velocity, param, momentum, weight_decay):
    """What comes before the gradient is added to the velocity: momentum, and the gradient of the weight decay."""
    m, decay = param.dtype.type(momentum), param.dtype.type(weight_decay)
    for i in range(len(param)):
        velocity[i] = m * velocity[i] + decay * param[i]


@compiled
def descend(param, direction, lr):
    """``param -= lr · direction``."""
    rate = param.dtype.type(lr)
    for i in range(len(param)):
        param[i] -= rate * direction[i]


@compiled
def nesterov(param, grad, velocity, lr, momentum, weight_decay):
    """Descend along the gradient plus momentum times the new velocity."""
    rate, m, decay = param.dtype.type(lr), param.dtype.type(momentum), param.dtype.type(weight_decay)
    for i in range(len(param)):
        g = grad[i] + decay * param[i]
        velocity[i] = m * velocity[i] + g
        param[i] -= rate * (g + m * velocity[i])


@compiled
def adam(param, grad, first, second, step, lr, beta1, beta2, eps, coupled, decoupled):
    """Adam with weight decay in the gradient (``coupled``) or beside it (``decoupled``, AdamW).

    References:
        Kingma & Ba 2015, arXiv:1412.6980, section 2; eps outside the corrected root, as torch has it.
        Loshchilov & Hutter 2019, arXiv:1711.05101.
    """
    kind = param.dtype.type
    old_1, new_1, rate = kind(beta1), kind(1 - beta1), kind(lr / (1 - math.pow(beta1, step)))
    old_2, new_2, correction = kind(beta2), kind(1 - beta2), kind(1 / (1 - math.pow(beta2, step)))
    in_gradient, beside, small = kind(coupled), kind(1 - lr * decoupled), kind(eps)
    for i in range(len(param)):
        p = param[i] * beside
        g = grad[i] + in_gradient * p
        first[i] = old_1 * first[i] + new_1 * g
        second[i] = old_2 * second[i] + new_2 * g * g
        param[i] = p - rate * first[i] / (math.sqrt(second[i] * correction) + small)
