"""What cases can see: the reasons are the true ones, and the smallest set loses nothing."""

from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

from reference_impl import LSTM, Dense, Sequential
from tapecheck import Case
from tapecheck.adequacy import adequacy, blind_to, sees
from tapecheck.equivalent import CANNOT_RUN, NO_SUCH_LINE, SAME_NUMBERS, set_aside
from tapecheck.faults import faults

FULL = Case(
    "full",
    Sequential([LSTM(6, return_sequences=True), Dense(4)]),
    batch=3,
    timesteps=5,
    features=7,
    initial_state="random",
)
ONE_STEP = replace(FULL, name="one-step", timesteps=1)
AT_REST = replace(FULL, name="at-rest", initial_state="zeros")
ONE_SAMPLE = replace(FULL, name="one-sample", batch=1)


def hidden(case, reason):
    """The faults that the case is blind to for a reason that starts like this."""
    found = adequacy([case]).blind[case.name]
    return [fault for said, some in found.items() if said.startswith(reason) for fault in some]


def test_one_step_sees_no_recurrence():
    """At T = 1 nothing is carried to an earlier step, whatever dh_next says for the weights."""
    assert any("dW_x = x_t.T @ dz " in fault for fault in hidden(ONE_STEP, "T = 1"))
    assert len(hidden(ONE_STEP, "T = 1")) > 100


def test_zero_states_hide_what_they_multiply():
    """With c_prev = 0 at t = 0 nobody can tell whether the gradient used it."""
    assert any("c_prev_or_zero" in fault for fault in hidden(AT_REST, "zero initial state"))


def test_one_sample_hides_the_mean_over_the_batch():
    """At B = 1 a mean over the batch is the sum."""
    assert any("dz.mean(axis=0)" in fault for fault in hidden(ONE_SAMPLE, "B = 1"))


def test_a_case_that_leaves_nothing_out_is_blind_to_nothing():
    """No reason is made up for what no change of the case would show."""
    assert adequacy([FULL]).blind["full"] == {}


def test_what_is_hidden_is_seen_with_the_reason_taken_away():
    """The faults that T = 1 hides are seen at T = 5, and not at T = 1."""
    named = set(hidden(ONE_STEP, "T = 1"))
    chosen = [fault for fault in faults(FULL.problem()) if str(fault) in named]
    assert len(chosen) == len(named)
    assert sees(FULL, chosen) == set(chosen)
    assert sees(ONE_STEP, chosen) == set()


def test_the_smallest_set_sees_all_that_any_case_sees():
    """The full case is in it, and what the others add is covered."""
    found = adequacy([ONE_STEP, FULL, AT_REST])
    assert found.smallest[0] == "full"
    covered = frozenset().union(*(found.seen[name] for name in found.smallest))
    assert covered == frozenset().union(*found.seen.values())
    assert found.unseen == frozenset()


def test_what_no_case_sees_is_listed():
    """Alone, the one-step case leaves the recurrence unseen, and its text says so."""
    found = adequacy([ONE_STEP])
    assert any("dW_x = x_t.T @ dz " in fault for fault in found.unseen)
    text = str(found)
    assert "T = 1: no recurrence" in text
    assert f"seen by none: {len(found.unseen)}" in text


def test_other_processes_find_the_same():
    """Spread over a pool, as the command does it, the answer is the one of a single process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert adequacy([ONE_STEP, AT_REST], pool.map) == adequacy([ONE_STEP, AT_REST])


def test_the_table_gives_reasons_in_short_and_whole_below():
    """Two reasons of one case fit into its line, uncut, and no line is wider than a report."""
    text = str(adequacy([replace(ONE_STEP, initial_state="zeros")]))
    assert "T = 1: no recurrence" in text
    (row,) = [line for line in text.splitlines() if line.startswith("one-step ")]
    assert "T = 1: " in row
    assert "zero initial state: " in row
    assert "..." not in row
    assert max(map(len, text.splitlines())) <= 100


def test_blind_to_is_one_line_with_the_count_and_the_reasons():
    """For a case of any size, from a small one like it; a case without a blind spot is said to be that."""
    large = replace(ONE_STEP, model=Sequential([LSTM(64, return_sequences=True), Dense(20)]), batch=50)
    for case in (ONE_STEP, large):
        said = blind_to(case)
        count = int(said.removeprefix("blind to: ").partition(" ")[0])
        assert count == len(adequacy([ONE_STEP]).unseen)
        assert said.endswith(f"known mistakes (T = 1: no recurrence: {count})")
    assert blind_to(FULL) == "blind to: nothing that a case like this can be made to see"


def reason(case, wrong):
    """Why the fault with this equation is set aside, if it is."""
    chosen = [fault for fault in faults(case.problem()) if fault.wrong == wrong]
    assert chosen, wrong
    return list(set_aside(case, chosen))


def test_an_edit_is_set_aside_for_what_it_does_when_it_runs():
    """It cannot run, its line is not run, or its numbers are the right ones; a mistake is not set aside."""
    relu = replace(FULL, model=Sequential([LSTM(6, activation="relu", return_sequences=True), Dense(4)]))
    assert reason(FULL, "dh = dh_above + dc") == [CANNOT_RUN]
    assert reason(FULL, "dy at t = 0 alone") == [NO_SUCH_LINE]
    assert reason(FULL, "c = f * c + i * g") == [SAME_NUMBERS]
    assert reason(relu, "phi_c = relu(relu(c))") == [SAME_NUMBERS]
    assert reason(FULL, "phi_c = tanh(tanh(c))") == []
    assert reason(ONE_STEP, "dc_next = dc") == []


def test_what_is_set_aside_is_counted():
    """The text counts it by the reason, and names what has the same numbers."""
    found = adequacy([FULL])
    assert not frozenset().union(*found.aside.values()) & (found.seen["full"] | found.unseen)
    text = str(found)
    for said, some in found.aside.items():
        assert f"set aside: {len(some)}, of which each {said}" in text
    assert "c = f * c + i * g" in text
