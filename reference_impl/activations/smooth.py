"""Activations without a kink, value and derivative side by side."""

import numpy as np

from reference_impl.activations.special import less_tanh, normal_cdf, normal_density
from reference_impl.arithmetic import absolute, absolute_by_branch, positive, positive_part
from reference_impl.spec import Array


def linear(z: Array) -> Array:
    return z


def d_linear(dy: Array, z: Array, y: Array) -> Array:
    return dy


def tanh(z: Array) -> Array:
    return np.tanh(z)


def d_tanh(dy: Array, z: Array, y: Array) -> Array:
    return dy * (1 - y * y)


def sigmoid(z: Array) -> Array:
    with np.errstate(over="ignore"):  # exp(-z) = inf gives 0, which is the right limit
        return 1 / (1 + np.exp(-z))


def d_sigmoid(dy: Array, z: Array, y: Array) -> Array:
    return dy * y * (1 - y)


def exponential(z: Array) -> Array:
    with np.errstate(over="ignore"):  # inf, as in Keras
        return np.exp(z)


def d_exponential(dy: Array, z: Array, y: Array) -> Array:
    return dy * y


def softplus(z: Array) -> Array:
    return positive_part(z) + np.log1p(
        np.exp(-absolute_by_branch(z))
    )  # log(1 + exp(z)), which would overflow


def d_softplus(dy: Array, z: Array, y: Array) -> Array:
    return dy * sigmoid(z)


def log_sigmoid(z: Array) -> Array:
    return -softplus(-z)


def d_log_sigmoid(dy: Array, z: Array, y: Array) -> Array:
    return dy * sigmoid(-z)


def softsign(z: Array) -> Array:
    return z / (1 + absolute(z))


def d_softsign(dy: Array, z: Array, y: Array) -> Array:
    return dy / (1 + absolute(z)) / (1 + absolute(z))


def silu(z: Array) -> Array:
    return z * sigmoid(z)


def d_silu(dy: Array, z: Array, y: Array) -> Array:
    return dy * sigmoid(z) * (1 + z * sigmoid(-z))  # sigmoid(-z) is 1 - sigmoid(z)


def mish(z: Array) -> Array:
    return z * np.tanh(softplus(z))


def d_mish(dy: Array, z: Array, y: Array) -> Array:
    t, s = np.tanh(softplus(z)), sigmoid(-z)
    return dy * (t + z * sigmoid(z) * (1 + t) * 2 * s * s / (1 + s * s))  # 1 - t is 2s**2 / (1 + s**2)


def gelu(z: Array, approximate: bool) -> Array:
    return z * sigmoid(gelu_exponent(z)) if approximate else z * normal_cdf(z)


def d_gelu(dy: Array, z: Array, y: Array, approximate: bool) -> Array:
    if approximate:
        u, du = gelu_exponent(z), 2 * GELU * (1 + 3 * GELU_CUBIC * z * z)
        return dy * sigmoid(u) * (1 + z * sigmoid(-u) * du)
    return dy * (normal_cdf(z) + z * normal_density(z))


# sqrt(2 / pi), and the coefficient of the approximation (Hendrycks and Gimpel 2016). They write
# (1 + tanh(u / 2)) / 2 for sigmoid(u), which cancels.
GELU, GELU_CUBIC = 0.7978845608028654, 0.044715


def gelu_exponent(z: Array) -> Array:
    return 2 * GELU * (z + GELU_CUBIC * z * z * z)


def squareplus(z: Array, b: float) -> Array:
    larger = (absolute_by_branch(z) + np.sqrt(z * z + b)) / 2
    return np.where(positive(z), larger, b / larger / 4)  # (z + sqrt(z**2 + b)) / 2, which would cancel


def d_squareplus(dy: Array, z: Array, y: Array, b: float) -> Array:
    return dy * y / np.sqrt(z * z + b)


def tanh_shrink(z: Array) -> Array:
    if z.dtype == object:  # balls know how much of a difference has cancelled
        return z - np.tanh(z)
    small = positive(1 - absolute(z))
    return np.where(small, less_tanh(np.where(small, z, 0 * z)), z - np.tanh(z))


def d_tanh_shrink(dy: Array, z: Array, y: Array) -> Array:
    return dy * np.tanh(z) * np.tanh(z)
