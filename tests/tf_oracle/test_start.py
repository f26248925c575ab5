"""Loading TensorFlow: late, quietly, and only on the TensorFlow backend."""

import json
import os
import subprocess
import sys

import pytest

from tf_oracle.start import OracleUnavailable, load, refuse_other_backends

LATE = "import sys; {}; assert not {{'tensorflow', 'keras'}} & set(sys.modules), 'too early'"


def python(code, **environment):
    """A fresh interpreter that runs `code`."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )


@pytest.mark.parametrize(
    "statement",
    [
        "import tapecheck",
        "import tf_oracle",
        "import reference_impl",
        "import tapecheck.cli",
        "from tapecheck.catalogue import CATALOGUE; [c.problem() for c in CATALOGUE if not c.drawn_by_keras]",
        "from tapecheck.cli import main; main(['list'])",
        "from tapecheck.cli import parser; parser().format_help()",
        "import pytest; assert pytest.main(['--collect-only', '-q', '-n0']) == 0",
    ],
)
def test_tensorflow_is_not_imported_before_it_is_needed(statement):
    """Importing, listing, drawing and collecting never load TensorFlow or Keras."""
    done = python(LATE.format(statement))
    assert done.returncode == 0, done.stderr


def test_reference_impl_needs_no_tensorflow_at_all():
    """The handwritten side imports NumPy and nothing of the other two packages."""
    others = "{'tf_oracle', 'tapecheck', 'flint', 'rich'}"
    code = f"import sys, reference_impl.textbook; print(sorted({others} & set(sys.modules)))"
    assert python(code).stdout == "[]\n"


def test_nothing_of_tensorflow_reaches_the_screen():
    """A whole run writes not a byte that it was not asked for, to standard output or error."""
    code = (
        "from tapecheck import check; from tapecheck.catalogue import CATALOGUE;"
        "assert check(CATALOGUE[0]).passed"
    )
    settings = {name: "" for name in os.environ if name.startswith("TF_CPP")}
    done = python(code, **settings)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_another_backend_in_the_environment_is_one_clear_error(monkeypatch):
    """KERAS_BACKEND=jax is named, with what it should be and how to run."""
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    with pytest.raises(OracleUnavailable, match=r"'jax' \(set by KERAS_BACKEND\).*KERAS_BACKEND=tensorflow"):
        refuse_other_backends()


def test_another_backend_in_keras_json_is_one_clear_error(monkeypatch, tmp_path):
    """keras.json is read where Keras reads it, and named as the source; the environment overrules it."""
    (tmp_path / "keras.json").write_text(json.dumps({"backend": "torch"}))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    with pytest.raises(OracleUnavailable, match=r"'torch' \(set by .*keras.json\)"):
        refuse_other_backends()
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    refuse_other_backends()


def test_unreadable_keras_json_is_left_to_keras(monkeypatch, tmp_path):
    """A keras.json that is no JSON is ignored, as Keras ignores it."""
    (tmp_path / "keras.json").write_text("{")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    refuse_other_backends()


def test_command_ends_with_status_2_on_another_backend():
    """The command says so on one line of standard error, without a traceback."""
    done = python("import sys; from tapecheck.cli import main; sys.exit(main([]))", KERAS_BACKEND="jax")
    assert done.returncode == 2
    assert "Keras's backend = 'jax'" in done.stderr
    assert "Traceback" not in done.stderr


def test_one_thread_under_test():
    """The tests run TensorFlow on one thread, so that every run gives the same bits."""
    threading = load().tf.config.threading
    assert os.environ["TF_NUM_INTRAOP_THREADS"] == os.environ["TF_NUM_INTEROP_THREADS"] == "1"
    assert threading.get_intra_op_parallelism_threads() in (0, 1)
