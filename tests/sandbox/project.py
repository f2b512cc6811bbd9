"""A user's project folder, copied so that its workflows reach the emulators and nothing else.

Workflows, queries, ids and names stay unchanged. The copy lacks `docker:`, which would start Docker, and has the
emulators' addresses in place of the services'.
"""

import os
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.dig import DigError
from tests.dig.config import load
from tests.emulators.environment import SECRETS

ROOT = Path(__file__).parent.parent.parent

_NOT_COPIED = shutil.ignore_patterns(".git", ".digdag", "__pycache__", ".venv")
_DOCKER = re.compile(r"^( *)docker:.*\n(?:\1 +.*\n|\s*\n)*", re.MULTILINE)
_ADDRESS = re.compile(
    r"\b(TD_API_SERVER|PINTEREST_API_ENDPOINT|DIGDAG_ENDPOINT)([\"']?\s*:\s*)[\"']?[^\s,}\"'#]+[\"']?"
)
_TD_ENDPOINT = re.compile(r"\b(endpoint\s*:\s*)[\"']?[\w.-]*treasuredata[\w.-]*[\"']?")
_SECRET = re.compile(rf"\b({'|'.join(SECRETS.values())})[\"']?\s*:\s*[\"']?\$\{{secret:([\w.-]+)\}}")
_TEMPLATE = re.compile(r"\$\{([\w.]+)\}")
_DATABASE = re.compile(r"[a-z0-9_]+")
_ID = re.compile(r"\d{6,}")
MAIN_JOB = "pinterest_export.dig"


@dataclass(frozen=True, kw_only=True)
class Project:
    """A copy, in `folder`, that can be run. `names`: of the audiences, by id, as the workflows expect them.

    `databases`: all that its files name. `secrets`: the names of the secrets that it uses, and the variable of each.
    `ids`: all numbers in its files that may be ids.
    """

    source: Path
    folder: Path
    workflows: tuple[str, ...]
    names: Mapping[str, str]
    databases: tuple[str, ...]
    secrets: Mapping[str, str]
    ids: frozenset[str]


def command(script: str, *arguments: str | Path) -> str:
    """Return what to type in the working folder to call a script of this checkout."""
    return shlex.join([os.path.relpath(ROOT / "scripts" / script), *map(str, arguments)])


def choose_workflows(folder: Path, names: Sequence[str]) -> tuple[str, ...]:
    """Return the named workflows of a folder, else the only one. Raises ValueError, with what to do."""
    workflows = sorted(path.name for path in folder.glob("*.dig"))
    chosen = tuple(Path(name).with_suffix(".dig").name for name in names)
    if missing := [name for name in chosen if name not in workflows]:
        raise ValueError(f"{folder} has no workflow {missing[0]}: it has {', '.join(workflows) or 'no workflow'}")
    if chosen or len(workflows) == 1:
        return chosen or tuple(workflows)
    if MAIN_JOB in workflows:
        return (MAIN_JOB,)
    raise ValueError(f"which workflow? Name one of {', '.join(workflows)}" if workflows else f"{folder} has no *.dig")


def copy_project(source: Path, into: Path, *, workflows: tuple[str, ...], environ: Mapping[str, str]) -> Project:
    """Copy a project folder, and read what its workflows need."""
    shutil.copytree(source, into, ignore=_NOT_COPIED)
    texts = {path: path.read_text(encoding="utf-8") for path in _configuration_files(into)}
    for path, text in texts.items():
        path.write_text(_with_inside_addresses(text, environ), encoding="utf-8")
    secrets = [pair for text in texts.values() for pair in _SECRET.findall(text)]
    mappings = [mapping for path in texts for mapping in _mappings(path)]
    return Project(
        source=source,
        folder=into,
        workflows=workflows,
        names=_audience_names(mappings),
        databases=tuple(sorted(_databases(mappings))) or ("sandbox",),
        secrets={name: variable for variable, name in secrets},
        ids=frozenset(id_ for text in texts.values() for id_ in _ID.findall(text)),
    )


def _configuration_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".dig", ".yml", ".yaml") and path.is_file():
            yield path


def _with_inside_addresses(text: str, environ: Mapping[str, str]) -> str:
    # Nothing may arrive at a digdag server of the user's own.
    inside = dict(environ) | {"DIGDAG_ENDPOINT": "http://127.0.0.1:1"}
    host = environ["TD_API_SERVER"].removeprefix("http://").rstrip("/")
    text = _ADDRESS.sub(lambda match: f'{match[1]}{match[2]}"{inside[match[1]]}"', _DOCKER.sub("", text))
    return _TD_ENDPOINT.sub(rf'\1"{host}"', text)


def _mappings(path: Path) -> Iterator[dict[str, Any]]:
    """Yield every mapping of a file, with its `result_settings` and the values of the file's `_export`.

    Nothing if the file is no mapping.
    """
    try:
        content = load(path)
    except (DigError, OSError, ValueError):
        return
    waiting: list[Any] = [content]
    exported = content.get("_export")
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            settings = value.get("result_settings")
            flat = value | settings if isinstance(settings, dict) else value
            yield {name: _filled_in(member, exported) for name, member in flat.items()}
        waiting += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _filled_in(value: Any, exported: Any) -> Any:
    template = _TEMPLATE.fullmatch(value) if isinstance(value, str) else None
    for part in template[1].split(".") if template else ():
        exported = exported.get(part) if isinstance(exported, dict) else None
    return exported if template else value


def _audience_names(mappings: list[dict[str, Any]]) -> dict[str, str]:
    return {
        str(audience_id): str(mapping["expected_audience_name"])
        for mapping in mappings
        if mapping.get("expected_audience_name")
        for key, audience_id in mapping.items()
        if key.startswith("audience_id") and str(audience_id).isdecimal()
    }


def _databases(mappings: list[dict[str, Any]]) -> set[str]:
    names = {mapping.get("database") for mapping in mappings}
    return {name for name in names if isinstance(name, str) and _DATABASE.fullmatch(name)}
