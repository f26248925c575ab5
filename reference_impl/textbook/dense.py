"""Dense, forward and backward. On (B, T, H) every step is one more row under the same kernel."""

from reference_impl.activations import activation
from reference_impl.dense import Dense
from reference_impl.spec import Array, Arrays

Values = dict[str, Array]


def forward(layer: Dense, weights: Arrays, x: Array) -> tuple[Array, Values]:
    """Output (..., K) and what the backward pass needs, from `x` (..., H)."""
    W_y = weights["kernel"]  # (H, K)
    b_y = weights.get("bias", 0)  # (K,)

    logits = x @ W_y + b_y  # (..., K)
    y = activation(layer.activation).value(logits)

    return y, dict(x=x, logits=logits, y=y)


def backward(layer: Dense, weights: Arrays, values: Values, dy: Array, from_logits: bool = False) -> Arrays:
    """Gradients of the weights and of `x`; `dy` is the gradient of the logits with `from_logits`."""
    W_y, x, logits, y = weights["kernel"], values["x"], values["logits"], values["y"]

    dlogits = dy if from_logits else activation(layer.activation).backward(dy, logits, y)
    x_rows = x.reshape(-1, x.shape[-1])  # (B, H), or (B*T, H)
    d_rows = dlogits.reshape(-1, layer.units)  # (B, K), or (B*T, K)
    dW_y = x_rows.T @ d_rows
    db_y = d_rows.sum(axis=0)
    dh_above = dlogits @ W_y.T

    gradients = {"kernel": dW_y, "x": dh_above}
    if layer.use_bias:
        gradients["bias"] = db_y
    return gradients
