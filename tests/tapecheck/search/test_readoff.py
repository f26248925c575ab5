"""What nobody listed is read off the numbers, and reproduces them."""

import numpy as np
import pytest

from tapecheck.faults import BROKEN, program
from tapecheck.search.readoff import kind_of, read_off
from tapecheck.search.residuals import residuals


def suggested(room, gradients):
    """The faults read off, of all broken equations."""
    forced = room.forced(gradients)
    return [fault for residual in residuals(forced, {}) for fault in read_off(forced, residual)]


def reproducing(room, gradients):
    """What those compute that give these gradients."""
    found = {}
    for fault in suggested(room, gradients):
        try:
            mine = fault(room.problem).gradients
        except BROKEN:  # it reads what comes later
            continue
        # a factor that is read off solved values has rounded with them: 1e-13 here at worst
        if all(np.allclose(mine[name], gradients[name], rtol=1e-9, atol=1e-12) for name in gradients):
            found[fault.wrong] = fault
    return found


@pytest.mark.parametrize(
    ("target", "line"),
    [
        ("di", "di = dc * (1 - g * g) / o"),
        ("df", "df = dc * h_prev"),
        ("dz_o", "dz_o = do / 5"),
        ("dc", "dc = dh * o * (1 - phi_c) + dc_next"),
        ("dc_next", "dc_next = dc * (1 - f)"),
        ("dh_next", "dh_next = dz @ W_h.T * 3 / 4"),
        ("dh_next", "dh_next = dz @ W_h.T + dh_above"),
        ("do", "do = dh * h"),
    ],
)
def test_a_factor_or_a_term_that_no_list_has(target, line, room):
    """The very equation is among what is read off, and says so."""
    gradients = room.edited(target, line)
    found = reproducing(room, gradients)
    assert {fault.quantity for fault in found.values()} & {target, target.replace("d", "dz_", 1)}


@pytest.mark.parametrize(
    ("target", "line", "said"),
    [
        ("dc", "dc = np.clip(d_phi(dh * o, c, phi_c) + dc_next, -0.02, 0.02)", "dc = clip(dc, -0.02, 0.02)"),
        ("dz", "dz = np.clip(np.hstack([dz_i, dz_f, dz_g, dz_o]), -3e-3, 3e-3)", "clip(dz, -0.003, 0.003)"),
    ],
)
def test_a_limit(target, line, said, room):
    """Clipping inside the backward pass, with the limit."""
    found = reproducing(room, room.edited(target, line))
    assert any(said in wrong for wrong in found), found


def test_a_norm_that_no_step_is_above(room):
    """dc scaled down where it is too long."""
    line = "v = d_phi(dh * o, c, phi_c) + dc_next; dc = v * min(1, 0.02 / np.sqrt((v**2).sum()))"
    assert list(reproducing(room, room.edited("dc", line))) == ["dc = dc scaled down to a norm of 0.02"]


def test_a_head_updated_too_early(room):
    """dh_above by the kernel after the step of gradient descent, with its rate."""
    key = program.DENSE_BACKWARD.lines["dh_above"].key
    line = "dh_above = dlogits @ (W_y - 0.05 * x_rows.T @ d_rows).T"
    gradients = program.backpropagate(room.problem, {key: program.compiled_lines(line)}, room.kept).gradients
    assert list(reproducing(room, gradients)) == ["dh_above = dlogits @ (W_y - 0.05 * dW_y).T"]


def test_nothing_is_read_off_what_is_no_such_form(room):
    """f to the power of 1.5 is no product of known values."""
    assert suggested(room, room.edited("dc_next", "dc_next = dc * f**1.5")) == []


@pytest.mark.parametrize(
    ("target", "factor", "kind"),
    [
        ("dz_f", " * (1 - f)", "gate derivative left out"),
        ("dz_f", " * f * (1 - i)", "copy and paste between gates"),
        ("dz_f", " * (1 - f) * (1 - f)", "wrong activation derivative"),
        ("dz_f", " / 4", "normalisation"),
        ("dc_next", " * (1 + f)", "path counted twice"),
        ("dc_next", " * (1 - f)", "wrong factor"),
        ("dh_next", " * -1", "sign"),
    ],
)
def test_a_factor_tells_the_class(target, factor, kind):
    """The class is that of FAULTS: which of a derivative's factors is there, and whose."""
    assert kind_of(target, factor) == kind


def test_a_kernel_that_is_updated_in_the_loop(room):
    """The learning rate is read off, and the equation with it reproduces the numbers."""
    gradients = room.edited("dh_next", "dh_next = dz @ (W_h - 0.07 * dW_h).T")
    found = reproducing(room, gradients)
    assert found["dh_next = dz @ (W_h - 0.07 * dW_h).T"].kind == "updated too early"
