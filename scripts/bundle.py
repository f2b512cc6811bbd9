"""Make a project folder for `digdag run`, `digdag push` and `td wf push`.

Workflows, queries and configuration belong to the user: a file that the user changed is never overwritten. The operator
and the libraries next to it do not: if one of them was changed, nothing is written. Without names the folder gets all
workflows; with names, it gets those and the files that they need, in addition to what it has.
"""

import argparse
import base64
import configparser
import hashlib
import json
import posixpath
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = "td_pinterest_op"
# For people at a terminal and in a checkout only; the command line needs libraries that no workflow image has.
NOT_FOR_WORKFLOWS = ("cli", "__main__.py", "README.md")
# Treasure Data's image has everything else that the operator imports.
MISSING_ON_HOSTED = ["python-backoff"]
# Large, and imported for columns of phone numbers only.
PHONE_NUMBERS = "phonenumberslite"
# The hashes of what was laid out. digdag leaves files that begin with a dot out of an archive.
MANIFEST = ".laid_out.json"
# Among the hashes: the folder keeps the library for phone numbers, whatever its files say. No file begins with a dash.
KEPT_PHONE_NUMBERS = "--with-phone-numbers"
# A library requires it for time zones by name, which the operator does not use.
_UNUSED_LIBRARIES = ("tzdata",)
_UNUSED_FILES = re.compile(
    # Compiled files fit one Python only, and each library works without them; the other files serve type checkers,
    # browsers and tests.
    r".*\.(?:pyc|so|pyd|pyx|c|pyi|js)|.*/py\.typed|certifi/tests/.*|urllib3/contrib/emscripten/.*|"
    # Short numbers, carriers, places and time zones.
    r"phonenumbers/(?:shortdata/region_\w+|carrier|geocoder|prefix|timezone)\.py"
)
_MENTIONED = re.compile(r"[\w./-]+\.sql\b")
_INCLUDED = re.compile(r"!include\s*:\s*[\"']?([\w./-]+)")
_CALLED = re.compile(r"\b(?:call|require)>:\s*[\"']?([\w./-]+)")
_COMMENT = re.compile(r"^\s*(?:#|--).*$", re.MULTILINE)
_ROWS = re.compile(r"\brecords[\"']?\s*:\s*[\"']?rows\b", re.IGNORECASE)
# A column's name: of the mapping `columns`, or what a query selects.
_PHONE = re.compile(r":\s*[\"']?phone\b|\bselect\b(?:(?!\bfrom\b).)*\bphone\b", re.IGNORECASE | re.DOTALL)

Contents = Mapping[str, bytes]


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the folder and print its path; returns the exit code. Exits with a sentence if it cannot be written."""
    parser = _parser()
    options = parser.parse_intermixed_args(arguments)
    folder, templates = options.folder, dict(project_files())
    if folder.suffix == ".dig":
        parser.error("name the folder before the workflows")
    if unknown := [name for name in options.workflows if name not in templates]:
        known = ", ".join(sorted(name for name in templates if name.endswith(".dig")))
        parser.error(f"there is no workflow {unknown[0]}: there are {known}")
    try:
        _bundle(folder, templates, options)
    except OSError as error:
        reason = f"{error.filename or folder}: {error.strerror or type(error).__name__}"
        sys.exit(f"{folder} cannot be created ({reason}): name another folder")
    print(folder)
    return 0


def _bundle(folder: Path, templates: Contents, options: argparse.Namespace) -> None:
    before = _manifest(folder)
    keeps_form = options.update or options.workflows
    yours = chosen_files(folder, templates, options.workflows, before) if keeps_form else templates
    is_asked = options.with_phone_numbers or (keeps_form and KEPT_PHONE_NUMBERS in before)
    has_phones = is_asked or uses_phone_numbers(_texts(folder, yours))
    is_complete = options.with_dependencies or (keeps_form and "requests/__init__.py" in before)
    libraries = [*(_dependencies() if is_complete else MISSING_ON_HOSTED), *([PHONE_NUMBERS] if has_phones else [])]
    code = dict(operator_files(libraries, follow=is_complete))
    if kept := lay_out(folder, code=code, yours=yours, marks=[KEPT_PHONE_NUMBERS] if is_asked else []):
        print(f"kept, since they were filled in or changed: {', '.join(kept)}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bundle", description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "build" / "pinterest_export")
    parser.add_argument(
        "workflows",
        nargs="*",
        metavar="WORKFLOW.dig",
        type=lambda name: f"{Path(name).name.removesuffix('.dig')}.dig",
        help="a workflow to add, with the files that it needs, to what the folder has (default: all)",
    )
    parser.add_argument("--update", action="store_true", help="update what the folder has, and add nothing")
    parser.add_argument(
        "--with-dependencies",
        action="store_true",
        help="include every library that the operator imports, in pure Python, for an image that lacks some",
    )
    parser.add_argument(
        "--with-phone-numbers",
        action="store_true",
        help="include the library for phone numbers; without this option it is included if the project's files name "
        "`records: rows` and a column `phone`",
    )
    return parser


def chosen_files(folder: Path, templates: Contents, named: Collection[str], before: Collection[str]) -> Contents:
    """Return the named workflows with the files that they need, and what the folder has of earlier calls.

    In a folder without any workflow, and without names, it is everything.
    """
    held = {name for name in before if name in templates and (folder / name).exists()}
    # A workflow that the user changed is no longer in `before`, and one may be the user's own.
    workflows = {*named, *(path.name for path in folder.glob("*.dig"))}
    if not workflows:
        return templates
    return {name: templates[name] for name in sorted(held | needed_files(folder, templates, workflows))}


def needed_files(folder: Path, templates: Contents, workflows: Iterable[str]) -> set[str]:
    """Return the workflows and the files to which they lead: includes, queries, and workflows that they call.

    A query in a comment counts: it is needed once the comment sign is removed.
    """
    found: set[str] = set()
    waiting = [*workflows]
    while waiting:
        name = waiting.pop()
        if name in found or name not in templates:
            continue
        found.add(name)
        text = templates[name].decode()
        if (folder / name).exists():
            text += (folder / name).read_text(encoding="utf-8", errors="replace")
        without_comments = _COMMENT.sub("", text)
        words = [*_MENTIONED.findall(text), *_INCLUDED.findall(without_comments)]
        words += [f"{called.removesuffix('.dig')}.dig" for called in _CALLED.findall(without_comments)]
        waiting += [
            posixpath.normpath(posixpath.join(place, word)) for word in words for place in ("", posixpath.dirname(name))
        ]
    return found


def uses_phone_numbers(texts: Iterable[str]) -> bool:
    """Whether the files of a project name rows with several keys, and the key `phone`."""
    text = "\n".join(_COMMENT.sub("", each) for each in texts)
    return bool(_ROWS.search(text) and _PHONE.search(text))


def _texts(folder: Path, yours: Contents) -> Iterator[str]:
    """The workflows, queries and configuration that the folder holds, or is about to hold."""
    for name, content in yours.items():
        if not (folder / name).exists() and not name.endswith(".md"):
            yield content.decode()
    for pattern in ("*.dig", "*.yml", "*.sql", "*/*.yml", "*/*.sql"):
        for path in folder.glob(pattern):
            yield path.read_text(encoding="utf-8", errors="replace")


def project_files() -> Iterator[tuple[str, bytes]]:
    """Workflows, queries and configuration, by their place in a project folder."""
    yield from _files(ROOT / "workflows")


def operator_files(libraries: Sequence[str], *, follow: bool = False) -> Iterator[tuple[str, bytes]]:
    """The operator and libraries next to it, by their place in a project folder; `follow`: with what these need."""
    yield from _operator()
    yield from _libraries(libraries, follow=follow)


def _manifest(folder: Path) -> dict[str, str]:
    file = folder / MANIFEST
    return dict(json.loads(file.read_text())) if file.exists() else {}


def lay_out(folder: Path, *, code: Contents, yours: Contents, marks: Sequence[str] = ()) -> list[str]:
    """Write the files that the user has not changed; returns the names of those that the user has.

    `code` is written whole or not at all: exits with a message if somebody changed a file of it. `marks` are kept among
    the hashes.
    """
    before = {name: hash_ for name, hash_ in _manifest(folder).items() if not name.startswith("--")}
    contents = {**yours, **code}
    changed = [name for name in sorted(before.keys() | contents.keys()) if _is_changed(folder, name, before, contents)]
    if changed_code := [name for name in changed if name not in yours and _is_code(name, code)]:
        sys.exit(
            f"{folder} has code of the operator that was changed by hand: {', '.join(changed_code[:5])}"
            f"{' and more' if len(changed_code) > 5 else ''}. Nothing was written. Move it away, or name another folder"
        )
    for name in before.keys() - contents.keys() - set(changed):
        _remove(folder, name)
    for name in sorted(contents.keys() - set(changed)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(contents[name])
    hashes = {name: _hash(content) for name, content in contents.items() if name not in changed}
    (folder / MANIFEST).write_text(json.dumps(hashes | dict.fromkeys(marks, ""), indent=1, sort_keys=True))
    return [name for name in changed if name in yours]


def _is_changed(folder: Path, name: str, before: Mapping[str, str], contents: Contents) -> bool:
    path = folder / name
    if not path.exists():
        return False
    actual = _hash(path.read_bytes())
    return actual not in (before.get(name), _hash(contents[name]) if name in contents else None)


def _remove(folder: Path, name: str) -> None:
    """Remove a file and the folders that are empty then: Python would import an empty folder."""
    (folder / name).unlink(missing_ok=True)
    for parent in (folder / name).parents:
        if parent == folder or not parent.is_dir() or any(parent.iterdir()):
            return
        parent.rmdir()


def _is_code(name: str, code: Contents) -> bool:
    return Path(name).parts[0] in {Path(each).parts[0] for each in code}


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and not any(part.startswith((".", "__pycache__")) for part in name.parts):
            yield name.as_posix(), _in_place(path.read_bytes()) if path.name == "README.md" else path.read_bytes()


def _in_place(text: bytes) -> bytes:
    """A README for a project folder, without links to files that are not in it."""
    return re.sub(rb"\[([^\]]*)\]\(\.\./[^)]*\)", rb"\1", text)


def _operator() -> Iterator[tuple[str, bytes]]:
    for name, content in _files(ROOT / PACKAGE):
        if Path(name).parts[0] not in NOT_FOR_WORKFLOWS:
            yield f"{PACKAGE}/{name}", content
    yield f"{PACKAGE}/LICENSE", (ROOT / "LICENSE").read_bytes()


def _dependencies() -> list[str]:
    metadata = configparser.ConfigParser()
    metadata.read(ROOT / "setup.cfg")
    required = re.findall(r"^[\w-]+", metadata["options"]["install_requires"], re.MULTILINE)
    return [name for name in required if name != PHONE_NUMBERS]


def _libraries(names: Sequence[str], *, follow: bool) -> Iterator[tuple[str, bytes]]:
    """The Python files and licences of libraries; `follow`: of those that these need as well."""
    waiting, known = [distribution(name) for name in names], set()
    while waiting:
        library = waiting.pop()
        if library.name in known:
            continue
        known.add(library.name)
        yield from _library(library)
        waiting += _needed(library) if follow else []


def _needed(library: Distribution) -> Iterator[Distribution]:
    for requirement in library.requires or []:
        name = re.match(r"[\w.-]+", requirement)
        if name and "extra ==" not in requirement and name[0] not in _UNUSED_LIBRARIES:
            try:
                yield distribution(name[0])
            except PackageNotFoundError:  # a requirement of another Python or system
                continue


def _library(library: Distribution) -> Iterator[tuple[str, bytes]]:
    for path in library.files or []:
        is_metadata = path.parts[0].endswith(".dist-info")
        is_wanted = path.name == "METADATA" or "licen" in str(path).lower() if is_metadata else True
        if path.parts[0] == ".." or _UNUSED_FILES.fullmatch(path.as_posix()) or not is_wanted:
            continue
        content = path.read_binary()
        if path.hash and path.hash.value != _record_hash(content):
            sys.exit(f"{path} is not as {library.name} {library.version} installed it: remove .venv, run scripts/setup")
        # A library may ask for its own version; below the fields is its page for people.
        yield path.as_posix(), content.partition(b"\n\n")[0] + b"\n" if path.name == "METADATA" else content


def _record_hash(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


if __name__ == "__main__":
    sys.exit(main())
