"""A user's project folder, copied so that its workflows meet the emulators and nothing else.

Workflows, queries, ids and names stay as they are. The copy lacks `docker:`, which would start Docker, and has the
emulators' addresses in place of the services'.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.dig import DigError
from tests.dig.config import load
from tests.emulators.environment import SECRETS

_NOT_COPIED = shutil.ignore_patterns(".git", ".digdag", "__pycache__", ".venv")
_DOCKER = re.compile(r"^( *)docker:.*\n(?:\1 +.*\n|\s*\n)*", re.MULTILINE)
_ADDRESS = re.compile(
    r"\b(TD_API_SERVER|PINTEREST_API_ENDPOINT|DIGDAG_ENDPOINT)([\"']?\s*:\s*)[\"']?[^\s,}\"'#]+[\"']?"
)
_TD_ENDPOINT = re.compile(r"\b(endpoint\s*:\s*)[\"']?[\w.-]*treasuredata[\w.-]*[\"']?")
_SECRET = re.compile(rf"\b({'|'.join(SECRETS.values())})[\"']?\s*:\s*[\"']?\$\{{secret:([\w.-]+)\}}")
_TEMPLATE = re.compile(r"\$\{([\w.]+)\}")
_DATABASE = re.compile(r"[a-z0-9_]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A copy that can be run. `names`: of the audiences, by id, as the workflows expect them.

    `databases`: all that its files name. `secrets`: the names of the secrets that it uses, and the variable of each.
    """

    folder: Path
    workflows: tuple[str, ...]
    names: Mapping[str, str]
    databases: tuple[str, ...]
    secrets: Mapping[str, str]


def copied(source: Path, into: Path, *, workflows: tuple[str, ...], environ: Mapping[str, str]) -> Project:
    """Copy a project folder, and read what it needs. Raises ValueError, which says what to do."""
    if not (source / "td_pinterest_op").is_dir():
        raise ValueError(f"{source} is no bundled folder, it has no td_pinterest_op: run scripts/bundle {source}")
    chosen = tuple(_workflow(source, name) for name in workflows) or (_only_workflow(source),)
    shutil.copytree(source, into, ignore=_NOT_COPIED)
    texts = {path: path.read_text(encoding="utf-8") for path in _configuration(into)}
    for path, text in texts.items():
        path.write_text(_without_outside(text, environ), encoding="utf-8")
    secrets = [pair for text in texts.values() for pair in _SECRET.findall(text)]
    mappings = [mapping for path in texts for mapping in _mappings(path)]
    return Project(
        folder=into,
        workflows=chosen,
        names=_names(mappings),
        databases=tuple(sorted(_databases(mappings))) or ("sandbox",),
        secrets={name: variable for variable, name in secrets},
    )


def _workflow(source: Path, name: str) -> str:
    file = Path(name if name.endswith(".dig") else f"{name}.dig").name
    if not (source / file).is_file():
        raise ValueError(f"{source} has no workflow {file}: it has {', '.join(_workflows(source)) or 'none'}")
    return file


def _workflows(source: Path) -> list[str]:
    return sorted(path.name for path in source.glob("*.dig"))


def _only_workflow(source: Path) -> str:
    there = _workflows(source)
    if len(there) == 1:
        return there[0]
    if "pinterest_export.dig" in there:
        return "pinterest_export.dig"
    raise ValueError(f"which workflow? Name one of {', '.join(there) or 'the folder, which has none'}")


def _configuration(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".dig", ".yml", ".yaml") and "td_pinterest_op" not in path.parts and path.is_file():
            yield path


def _without_outside(text: str, environ: Mapping[str, str]) -> str:
    # A server of the user's own is nobody's business here: what is sent there must not arrive.
    inside = dict(environ) | {"DIGDAG_ENDPOINT": "http://127.0.0.1:1"}
    host = environ["TD_API_SERVER"].removeprefix("http://").rstrip("/")
    text = _ADDRESS.sub(lambda match: f'{match[1]}{match[2]}"{inside[match[1]]}"', _DOCKER.sub("", text))
    return _TD_ENDPOINT.sub(rf'\1"{host}"', text)


def _mappings(path: Path) -> Iterator[dict[str, Any]]:
    """Every mapping of a file, with what `_export` at its top says filled in. Nothing for a file that is no mapping."""
    try:
        content = load(path)
    except (DigError, OSError, ValueError):
        return
    waiting: list[Any] = [content]
    exported = content.get("_export")
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield {name: _filled_in(member, exported) for name, member in value.items()}
        waiting += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _filled_in(value: Any, exported: Any) -> Any:
    template = _TEMPLATE.fullmatch(value) if isinstance(value, str) else None
    for part in template[1].split(".") if template else ():
        exported = exported.get(part) if isinstance(exported, dict) else None
    return exported if template else value


def _names(mappings: list[dict[str, Any]]) -> dict[str, str]:
    return {
        str(audience_id): str(mapping["expected_audience_name"])
        for mapping in mappings
        if mapping.get("expected_audience_name")
        for key, audience_id in mapping.items()
        if key.startswith("audience_id") and str(audience_id).isdecimal()
    }


def _databases(mappings: list[dict[str, Any]]) -> set[str]:
    given = {mapping.get("database") for mapping in mappings}
    return {name for name in given if isinstance(name, str) and _DATABASE.fullmatch(name)}
