"""Compiled loops over the numbers of one network: inputs, biases and loss."""

import math

import numpy as np

from initbench.engine.compiled.elementary import exp
from initbench.engine.compiled.machine_code import compiled


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
def add_rows(matrix, total):
    """Add the rows of a matrix, flat, to ``total``: a part of the gradient of a bias."""
    m = len(total)
    for i in range(len(matrix) // m):
        row = matrix[i * m : (i + 1) * m]
        for j in range(m):
            total[j] += row[j]


@compiled
def sum_rows(matrix, total):
    """The sum of the rows of a matrix, flat: the gradient of a bias."""
    for j in range(len(total)):
        total[j] = 0
    add_rows(matrix, total)


@compiled
def name_classes(logits, answered):
    """Mark in ``answered`` the class that each row of logits names, the first of equals."""
    for i in range(len(logits)):
        answered[np.argmax(logits[i])] = True


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
