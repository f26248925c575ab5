"""PyTorch: nn.LSTM and nn.Linear under torch's own autograd, with its two biases, in one layer and in two.
Needs torch.
"""

import pytest

import tapecheck
from reference_impl import LSTM, Dense, Sequential
from tapecheck import Case, Problem, Result
from tapecheck.layout import Layout

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")

# ---- the implementation


class Net(torch.nn.Module):
    """LSTM → Linear on every step."""

    def __init__(self, features, units, outputs, layers=1):
        super().__init__()
        self.lstm = torch.nn.LSTM(features, units, layers, batch_first=True, dtype=torch.float64)
        self.head = torch.nn.Linear(units, outputs, dtype=torch.float64)

    def forward(self, x):
        return self.head(self.lstm(x)[0])


def train_step(net, x, y):
    """Fill in every `.grad`, and return the output and the loss."""
    output = net(x)
    loss = torch.nn.functional.mse_loss(output, y)
    loss.backward()
    return output, loss


# ---- the adapter: the names are those of net.state_dict()

LAYOUT = Layout(
    vectors="column",
    kernel="lstm.weight_ih_l0",
    recurrent_kernel="lstm.weight_hh_l0",
    bias=("lstm.bias_ih_l0", "lstm.bias_hh_l0"),
    dense_kernel="head.weight",
    dense_bias="head.bias",
)


def adapter(problem: Problem) -> Result:
    """The whole model on one problem."""
    D, (H, K) = problem.x.shape[-1], problem.weights["dense/kernel"].shape
    net = Net(D, H, K)
    net.load_state_dict({name: torch.from_numpy(w) for name, w in LAYOUT.weights(problem).items()})
    x = torch.from_numpy(problem.x).requires_grad_()
    output, loss = train_step(net, x, torch.from_numpy(problem.y))
    theirs = {name: parameter.grad.numpy() for name, parameter in net.named_parameters()}
    ours = LAYOUT.gradients(problem, theirs, x=x.grad.numpy())
    return Result(ours, output.detach().numpy(), loss.item())


# ---- the same for two layers: a layout for each, the head with the upper one

LOWER, UPPER = (
    Layout(
        vectors="column",
        lstm=name,
        kernel=f"lstm.weight_ih_l{layer}",
        recurrent_kernel=f"lstm.weight_hh_l{layer}",
        bias=(f"lstm.bias_ih_l{layer}", f"lstm.bias_hh_l{layer}"),
        dense_kernel="head.weight" if layer else None,
        dense_bias="head.bias" if layer else None,
    )
    for layer, name in enumerate(("lstm", "lstm_1"))
)


def adapter_of_two(problem: Problem) -> Result:
    """The whole model on one problem."""
    D, (H, K) = problem.x.shape[-1], problem.weights["dense/kernel"].shape
    net = Net(D, H, K, layers=2)
    weights = LOWER.weights(problem) | UPPER.weights(problem)
    net.load_state_dict({name: torch.from_numpy(w) for name, w in weights.items()})
    x = torch.from_numpy(problem.x).requires_grad_()
    output, loss = train_step(net, x, torch.from_numpy(problem.y))
    theirs = {name: parameter.grad.numpy() for name, parameter in net.named_parameters()}
    ours = LOWER.gradients(problem, theirs, x=x.grad.numpy()) | UPPER.gradients(problem, theirs)
    return Result(ours, output.detach().numpy(), loss.item())


# ---- the tests

CASE = Case("torch", Sequential([LSTM(3, return_sequences=True), Dense(2)]))


def test_right():
    """PyTorch and TensorFlow agree with the exact gradient."""
    tapecheck.check(CASE, implementation=adapter).assert_passed()


def test_two_layers_are_right():
    """nn.LSTM with two layers is a stack of two LSTMs of as many units."""
    layers = [LSTM(3, return_sequences=True), LSTM(3, return_sequences=True), Dense(2)]
    tapecheck.check(Case("torch-two", Sequential(layers)), implementation=adapter_of_two).assert_passed()


def test_gradients_not_zeroed(monkeypatch):
    """A second backward pass without zero_grad adds to the first one's gradients: 2 x exact."""
    once = train_step
    monkeypatch.setitem(globals(), "train_step", lambda *args: (once(*args), once(*args))[1])
    report = tapecheck.check(CASE, implementation=adapter)
    assert report.verdict == "failed"
    assert report.tensors["lstm/bias"].factor == pytest.approx(2)
    assert all(tensor.passed for tensor in report.forward.values())
