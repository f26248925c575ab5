"""Finding an implementation by the path that a user types."""

import importlib
import os
import sys

from reference_impl.spec import BadInput, did_you_mean
from tapecheck.case import Implementation


def imported(path: str) -> Implementation:
    """The callable that "package.module:function" names, also from the working directory.

    Raises BadInput with the usual cause. What the module itself raises while it is imported, other
    than ImportError, is not caught.
    """
    module, colon, attribute = path.partition(":")
    subject = f"--implementation {path}"
    if not (module and colon and attribute):
        raise BadInput(subject, ["it should be PACKAGE.MODULE:FUNCTION, such as mypackage.lstm:gradients"])
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found = importlib.import_module(module)
    except ImportError as error:
        hint = "run from the folder that holds it, or install it"
        raise BadInput(subject, [f"{module} cannot be imported: {error} ({hint})"]) from error
    implementation = getattr(found, attribute, None)
    if not callable(implementation):
        callables = [name for name, value in vars(found).items() if callable(value)]
        what = "is not callable" if hasattr(found, attribute) else "does not exist"
        raise BadInput(subject, [f"{attribute} in {module} {what}{did_you_mean(attribute, callables)}"])
    return implementation
