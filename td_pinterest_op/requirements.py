"""Checks Python and the packages at import.

Written for any Python 3: an old one must be able to read this far.
"""

import importlib.util
import sys

MINIMUM_PYTHON = (3, 10)
# Modules and the packages that bring them.
REQUIRED_MODULES = {
    "backoff": "python-backoff",
    "msgpack": "msgpack",
    "requests": "requests",
    "tdclient": "td-client",
    "urllib3": "urllib3",
    "yaml": "PyYAML",
}


def check_python_and_packages():
    # type: () -> None
    """Raise ImportError if Python is too old or a package is missing."""
    version = sys.version_info[:2]
    if version < MINIMUM_PYTHON:
        raise ImportError(
            "td_pinterest_op needs Python {}.{} or newer; this is Python {}.{}".format(*MINIMUM_PYTHON, *version)
        )
    # Nothing is imported: that takes a second, in which Ctrl-C would end in a traceback.
    missing = [package for module, package in REQUIRED_MODULES.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise ImportError(
            "td_pinterest_op needs packages that this Python ({}) does not have: {}. Install them, or push the project "
            "with `td-pinterest push PROJECT FOLDER --with-dependencies`".format(sys.executable, ", ".join(missing))
        )
