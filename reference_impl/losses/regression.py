"""Losses of the difference between output and target: a mean over the last axis, one value a sample."""

import numpy as np

from reference_impl.activations import softplus
from reference_impl.arithmetic import EPSILON, absolute, clipped, positive, sign, through_clip
from reference_impl.spec import Array

# Keras compares with a float32 epsilon here, whatever the dtype (`mean_squared_logarithmic_error`).
EPSILON_32 = float(np.float32(EPSILON))
INF = float("inf")


def inner_product(upstream: Array, y: Array) -> Array:
    return (upstream * y).sum(axis=-1)


def d_inner_product(upstream: Array, y: Array) -> Array:
    return upstream


def mean_squared_error(y_true: Array, y: Array) -> Array:
    return ((y - y_true) ** 2).sum(axis=-1) / y.shape[-1]


def d_mean_squared_error(y_true: Array, y: Array) -> Array:
    return 2 * (y - y_true) / y.shape[-1]


def mean_absolute_error(y_true: Array, y: Array) -> Array:
    return absolute(y - y_true).sum(axis=-1) / y.shape[-1]


def d_mean_absolute_error(y_true: Array, y: Array) -> Array:
    return sign(y - y_true) / y.shape[-1]


def mean_absolute_percentage_error(y_true: Array, y: Array) -> Array:
    whole = clipped(absolute(y_true), EPSILON, INF)
    return 100 * (absolute(y - y_true) / whole).sum(axis=-1) / y.shape[-1]


def d_mean_absolute_percentage_error(y_true: Array, y: Array) -> Array:
    whole = clipped(absolute(y_true), EPSILON, INF)
    return 100 * sign(y - y_true) / whole / y.shape[-1]


def mean_squared_logarithmic_error(y_true: Array, y: Array) -> Array:
    log_true = np.log(1 + clipped(y_true, EPSILON_32, INF))
    log_y = np.log(1 + clipped(y, EPSILON_32, INF))
    return ((log_y - log_true) ** 2).sum(axis=-1) / y.shape[-1]


def d_mean_squared_logarithmic_error(y_true: Array, y: Array) -> Array:
    log_true = np.log(1 + clipped(y_true, EPSILON_32, INF))
    log_y = np.log(1 + clipped(y, EPSILON_32, INF))
    return through_clip(2 * (log_y - log_true) / (1 + y), y, EPSILON_32, INF) / y.shape[-1]


def huber(y_true: Array, y: Array, delta: float) -> Array:
    error = absolute(y - y_true)
    beyond = positive(error - delta)
    return np.where(beyond, delta * error - delta**2 / 2, error**2 / 2).sum(axis=-1) / y.shape[-1]


def d_huber(y_true: Array, y: Array, delta: float) -> Array:
    error = y - y_true
    beyond = positive(absolute(error) - delta)
    return np.where(beyond, delta * sign(error), error) / y.shape[-1]


def log_cosh(y_true: Array, y: Array) -> Array:
    error = y - y_true
    return (error + softplus(-2 * error) - np.log(0 * error + 2)).sum(axis=-1) / y.shape[-1]


def d_log_cosh(y_true: Array, y: Array) -> Array:
    return np.tanh(y - y_true) / y.shape[-1]


def poisson(y_true: Array, y: Array) -> Array:
    return (y - y_true * np.log(y + EPSILON)).sum(axis=-1) / y.shape[-1]


def d_poisson(y_true: Array, y: Array) -> Array:
    return (1 - y_true / (y + EPSILON)) / y.shape[-1]


def cosine_similarity(y_true: Array, y: Array) -> Array:
    return -(y_true * y).sum(axis=-1) / norm(y_true)[..., 0] / norm(y)[..., 0]


def d_cosine_similarity(y_true: Array, y: Array) -> Array:
    unit_true, unit = y_true / norm(y_true), y / norm(y)
    along = (unit_true * unit).sum(axis=-1, keepdims=True) * unit
    turned = np.where(positive(norm(y) - EPSILON), along, 0 * along)  # a norm that is clipped is a constant
    return (turned - unit_true) / norm(y)


def norm(y: Array) -> Array:
    return clipped(np.sqrt((y**2).sum(axis=-1, keepdims=True)), EPSILON, INF)
