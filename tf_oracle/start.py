"""Loading TensorFlow: late, once, quietly, and only with Keras on its TensorFlow backend."""

import json
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

# What TensorFlow reads when it is loaded. One thread, since the models are small and every run should
# give the same bits; no oneDNN rewrites, for the same reason; no log lines below errors.
SETTINGS = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "-1",
}


class OracleUnavailable(RuntimeError):
    """TensorFlow with Keras cannot be used here; the message says why and what to do."""


class Oracle(NamedTuple):
    """The loaded modules."""

    tf: ModuleType
    keras: ModuleType


@cache
def load() -> Oracle:
    """TensorFlow and Keras, imported on the first call. Raises OracleUnavailable."""
    refuse_other_backends()
    if "tensorflow" not in sys.modules:
        for name, value in SETTINGS.items():
            os.environ.setdefault(name, value)
    try:
        with quiet_stderr():
            import keras
            import tensorflow as tf

            tf.zeros(1)  # the first operation sets up the devices, and is what logs most
    except ImportError as error:
        raise OracleUnavailable(
            f"TensorFlow cannot be imported: {error}. It comes with this package: pip install -e ."
        ) from error
    return Oracle(tf, keras)


def refuse_other_backends() -> None:
    """Raise OracleUnavailable where Keras is configured for another backend than TensorFlow.

    Keras takes KERAS_BACKEND first and then `backend` in keras.json, found in KERAS_HOME or ~/.keras
    (keras/src/backend/config.py).
    """
    config = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "keras.json"
    backend, source = os.environ.get("KERAS_BACKEND"), "KERAS_BACKEND"
    if not backend and config.is_file():
        try:
            backend, source = json.loads(config.read_text()).get("backend"), str(config)
        except (ValueError, AttributeError):
            return  # Keras itself ignores a keras.json that it cannot read
    if backend and backend != "tensorflow":
        raise OracleUnavailable(
            f"Keras's backend = {backend!r} (set by {source}), but should be 'tensorflow': "
            "tapecheck compares with tf.GradientTape. Run with KERAS_BACKEND=tensorflow"
        )


@cache
def versions() -> dict[str, str]:
    """Installed versions by package name, read without importing anything."""
    return {name: version(name) for name in ("tensorflow", "keras", "numpy")}


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Keras's advice from the screen: that a mask ends at Flatten, that a softmax of one unit is 1. A
    case says what is to be checked, not what is wise.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="keras")
        yield


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Keep what native code writes to file descriptor 2 from the screen, unless the body raises."""
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), 2)
        try:
            yield
        except BaseException:
            log.seek(0)
            os.write(saved, log.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)
