"""Lay out the project folder that `digdag run`, `digdag push` and `td wf push` take as it is.

The workflows, their queries and their configuration are the user's to change: a file that was changed since it was
laid out stays as it is. The operator and the libraries beside it are not: if one of them was changed, nothing is
written.
"""

from __future__ import annotations

import argparse
import base64
import configparser
import hashlib
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = "td_pinterest_op"
# For people at a terminal only: it needs libraries that no workflow image has.
NOT_FOR_WORKFLOWS = ("cli", "__main__.py")
# Treasure Data's image has everything else that the operator imports.
MISSING_ON_HOSTED = ["python-backoff", "phonenumberslite"]
# The hashes of what was laid out. digdag leaves files that begin with a dot out of an archive.
MANIFEST = ".laid_out.json"

Contents = Mapping[str, bytes]


def main(arguments: Sequence[str] | None = None) -> int:
    """Lay the folder out and print its path; returns the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/bundle", description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "build" / "pinterest_export")
    parser.add_argument(
        "--with-dependencies",
        action="store_true",
        help="lay out every library that the operator imports, in pure Python, for an image that lacks some",
    )
    options = parser.parse_args(arguments)
    libraries = _dependencies() if options.with_dependencies else MISSING_ON_HOSTED
    code = dict(operator_files(libraries, follow=options.with_dependencies))
    kept = lay_out(options.folder, code=code, yours=dict(project_files()))
    for name in kept:
        print(f"kept {name}: it was changed since it was laid out", file=sys.stderr)
    print(options.folder)
    return 0


def project_files() -> Iterator[tuple[str, bytes]]:
    """Workflows, queries and configuration, by their place in a project folder."""
    yield from _files(ROOT / "workflows")


def operator_files(libraries: Sequence[str], *, follow: bool = False) -> Iterator[tuple[str, bytes]]:
    """The operator and libraries beside it, by their place in a project folder; `follow`: with what these need."""
    yield from _operator()
    yield from _libraries(libraries, follow=follow)


def lay_out(folder: Path, *, code: Contents, yours: Contents) -> list[str]:
    """Write what is new or unchanged since the last time; returns the names of the files that stay as they are.

    `code` is written whole or not at all: exits with a message if somebody changed a file of it.
    """
    manifest = folder / MANIFEST
    before: dict[str, str] = json.loads(manifest.read_text()) if manifest.exists() else {}
    contents = {**yours, **code}
    changed = [name for name in sorted(before.keys() | contents.keys()) if _is_changed(folder, name, before, contents)]
    if changed_code := [name for name in changed if name not in yours and _is_code(name, code)]:
        sys.exit(
            f"{folder} holds code that this script did not lay out as it is: {', '.join(changed_code[:5])}"
            f"{' and more' if len(changed_code) > 5 else ''}. Nothing was written. Move it away, or name another folder"
        )
    for name in before.keys() - contents.keys() - set(changed):
        _remove(folder, name)
    for name in contents.keys() - set(changed):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(contents[name])
    hashes = {name: _hash(content) for name, content in contents.items() if name not in changed}
    manifest.write_text(json.dumps(hashes, indent=1, sort_keys=True))
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
    """A README whose links fit the folder that is laid out, in which the workflows' one stands beside the package."""
    return text.replace(b"](../td_pinterest_op/", b"](td_pinterest_op/").replace(b"](../workflows/", b"](../")


def _operator() -> Iterator[tuple[str, bytes]]:
    for name, content in _files(ROOT / PACKAGE):
        if Path(name).parts[0] not in NOT_FOR_WORKFLOWS:
            yield f"{PACKAGE}/{name}", content
    yield f"{PACKAGE}/LICENSE", (ROOT / "LICENSE").read_bytes()


def _dependencies() -> list[str]:
    metadata = configparser.ConfigParser()
    metadata.read(ROOT / "setup.cfg")
    return re.findall(r"^[\w-]+", metadata["options"]["install_requires"], re.MULTILINE)


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
        if name and "extra ==" not in requirement:
            try:
                yield distribution(name[0])
            except PackageNotFoundError:  # a requirement of another Python or system
                continue


def _library(library: Distribution) -> Iterator[tuple[str, bytes]]:
    for path in library.files or []:
        is_metadata = path.parts[0].endswith(".dist-info")
        is_wanted = path.name == "METADATA" or "licen" in str(path).lower() if is_metadata else path.suffix != ".pyc"
        # What is compiled fits one Python only; each of these libraries works without it.
        if path.parts[0] == ".." or path.suffix in (".so", ".pyd", ".pyx", ".c") or not is_wanted:
            continue
        content = path.read_binary()
        if path.hash and path.hash.value != _record_hash(content):
            sys.exit(f"{path} is not as {library.name} {library.version} installed it: remove .venv, run scripts/setup")
        yield path.as_posix(), content


def _record_hash(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


if __name__ == "__main__":
    sys.exit(main())
