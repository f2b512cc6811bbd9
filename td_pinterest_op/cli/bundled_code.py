"""The code that a server needs beside a workflow: the operator, and the libraries that its Python lacks."""

import contextlib
import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import td_pinterest_op
from td_pinterest_op.requirements import REQUIRED_MODULES

PACKAGE_NAME = "td_pinterest_op"
_PACKAGE_FOLDER = Path(td_pinterest_op.__file__).parent
PACKAGE_PARENT = _PACKAGE_FOLDER.parent
IN_CHECKOUT = (PACKAGE_PARENT / "setup.cfg").is_file()
SHIPPED_FILES_FOLDER = PACKAGE_PARENT if IN_CHECKOUT else _PACKAGE_FOLDER / "cli"
"""The folder with `workflows` and `docs`."""
SHIPPED_WORKFLOWS_FOLDER = SHIPPED_FILES_FOLDER / "workflows"
# The command line needs libraries that no workflow image has.
_UNBUNDLED_PACKAGE_FILES = ("cli", "__main__.py", "README.md")
# Treasure Data's image has everything else that the operator imports.
_LIBRARY_MISSING_ON_HOSTED = "python-backoff"
# Large, and imported for columns of phone numbers only.
_PHONE_LIBRARY = "phonenumberslite"
# A library requires it for time zones by name, which the operator does not use.
_UNUSED_LIBRARIES = ("tzdata",)
_UNUSED_FILE_PATTERN = re.compile(
    # Compiled files fit one Python only, and each library works without them; the other files serve type checkers,
    # browsers and tests.
    r".*\.(?:pyc|so|pyd|pyx|c|pyi|js)|.*/py\.typed|certifi/tests/.*|urllib3/contrib/emscripten/.*|"
    # Short numbers, carriers, places and time zones.
    r"phonenumbers/(?:shortdata/region_\w+|carrier|geocoder|prefix|timezone)\.py"
)


def collect_code(*, with_dependencies: bool = False, with_phone_numbers: bool = False) -> Mapping[str, bytes]:
    """Return the contents of the operator's files and of its libraries', by path in a project.

    The libraries are those that hosted Treasure Workflow lacks, or `with_dependencies` all that the operator
    imports, with what they need.
    """
    if IN_CHECKOUT:
        licence = (PACKAGE_PARENT / "LICENSE").read_bytes()
    else:
        licence = str(distribution(PACKAGE_NAME).read_text("licenses/LICENSE")).encode()
    code = {f"{PACKAGE_NAME}/LICENSE": licence}
    for path in sorted(_PACKAGE_FOLDER.rglob("*")):
        name = path.relative_to(_PACKAGE_FOLDER)
        is_hidden = any(part.startswith((".", "__pycache__")) for part in name.parts)
        if path.is_file() and not is_hidden and name.parts[0] not in _UNBUNDLED_PACKAGE_FILES:
            code[f"{PACKAGE_NAME}/{name.as_posix()}"] = path.read_bytes()
    names = list(REQUIRED_MODULES.values()) if with_dependencies else [_LIBRARY_MISSING_ON_HOSTED]
    if with_phone_numbers:
        names.append(_PHONE_LIBRARY)
    waiting = [distribution(name) for name in names]
    known = set()
    while waiting:
        library = waiting.pop()
        if library.name in known:
            continue
        known.add(library.name)
        for file in library.files or []:
            is_metadata = file.parts[0].endswith(".dist-info")
            is_wanted = not is_metadata or file.name == "METADATA" or "licen" in str(file).lower()
            if is_wanted and file.parts[0] != ".." and not _UNUSED_FILE_PATTERN.fullmatch(file.as_posix()):
                content = file.read_binary()
                if file.name == "METADATA":  # a library may ask for its own version; below the fields is its page
                    content = content.partition(b"\n\n")[0] + b"\n"
                code[file.as_posix()] = content
        for requirement in (library.requires or []) if with_dependencies else []:
            required = re.match(r"[\w.-]+", requirement)
            if required and "extra ==" not in requirement and required[0] not in _UNUSED_LIBRARIES:
                # One of another Python or system is not installed.
                with contextlib.suppress(PackageNotFoundError):
                    waiting.append(distribution(required[0]))
    return code
