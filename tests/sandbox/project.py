"""A user's project folder, copied so that its workflows reach the emulators and nothing else.

Workflows, queries, ids and names stay unchanged. The copy lacks `docker:`, which would start Docker, and has the
emulators' addresses in place of the services'.
"""

import contextlib
import os
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from td_pinterest_op.cli.bundle import find_needed_files
from td_pinterest_op.errors import SettingsError
from td_pinterest_op.records.hashed_query import require_one_statement
from td_pinterest_op.report.entry import Entry
from tests.dig import DigError
from tests.dig.config import load
from tests.emulators.environment import SECRETS
from tests.sandbox import withheld

ROOT = Path(__file__).parent.parent.parent

_NOT_COPIED = shutil.ignore_patterns(".git", ".digdag", "__pycache__", ".venv")
_DOCKER = re.compile(r"^( *)docker:.*\n(?:\1 +.*\n|\s*\n)*", re.MULTILINE)
_ADDRESS = re.compile(
    r"\b(TD_API_SERVER|PINTEREST_API_ENDPOINT|DIGDAG_ENDPOINT)([\"']?\s*:\s*)[\"']?[^\s,}\"'#]+[\"']?"
)
_TD_ENDPOINT = re.compile(r"\b(endpoint\s*:\s*)[\"']?[\w.-]*treasuredata[\w.-]*[\"']?")
_SECRET = re.compile(rf"\b({'|'.join(SECRETS.values())})[\"']?\s*:\s*[\"']?\$\{{secret:([\w.-]+)\}}")
_TEMPLATE = re.compile(r"\$\{([\w.]+)\}")
_TEMPLATES = re.compile(r"\$\{[^{}]*\}")
_DATABASE = re.compile(r"[a-z0-9_]+")
_ID = re.compile(r"\d{6,}")
MAIN_JOB = "pinterest_export.dig"


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A copy, in `folder`, that can be run. `names`: of the audiences, by id, as the workflows expect them.

    `databases`: all that its files name. `secrets`: the names of the secrets that it uses, and the variable of each.
    `files`: the content of its workflows and configuration, by name. `ids`: all numbers in them that may be ids.
    """

    source: Path
    folder: Path
    workflows: tuple[str, ...]
    names: Mapping[str, str]
    databases: tuple[str, ...]
    secrets: Mapping[str, str]
    files: Mapping[str, str]
    ids: frozenset[str]

    def task_of(self, run: Entry, *, workflow: str, statement: str) -> dict[str, object]:
        """Return the settings and queries that decide who is in the audience of a run of a workflow.

        `statement`: what the run's job ran, "" without a job. It tells apart two tasks for one audience.
        """
        audience = {run.get_text("audience_id"), run.get_text("audience_name")}
        names = find_needed_files(self.files, [workflow])
        mappings = [mapping for name in sorted(names) for mapping in _mappings(self.folder / name)]
        mappings = [{key: self._text_of(value) for key, value in mapping.items()} for mapping in mappings]
        mappings = [mapping for mapping in mappings if _may_have_issued(mapping, statement)]
        mappings.sort(key=lambda mapping: len(str(mapping.get("query", ""))))  # the longest wins
        task: dict[str, object] = {}
        for is_own in (False, True):  # what an audience has of its own wins over what is shared
            keys = (*withheld.SETTINGS, *withheld.PARAMETERS) if is_own else withheld.SETTINGS
            for mapping in mappings:
                if bool(named := _named_audiences(mapping)) is is_own and named <= audience:
                    task |= {key: mapping[key] for key in keys if key in mapping}
        return task

    def query_of(self, run: Entry, *, workflow: str, statement: str) -> str:
        """Return the query of a run's people: its job's, or the one of which the operator made its job's statement."""
        task = self.task_of(run, workflow=workflow, statement=statement)
        is_made = run.is_mirror or task.get("hash_in") == "warehouse"
        return str(task.get("query", statement)) if is_made else statement

    def _text_of(self, value: object) -> object:
        """Return the content of a query's file, other values unchanged."""
        file = self.folder / value if isinstance(value, str) and value.endswith(".sql") else None
        return file.read_text(encoding="utf-8") if file and file.is_file() else value


def require_bundle(folder: Path) -> None:
    """Raise ValueError, with what to do, for a folder without the operator."""
    if not (folder / "td_pinterest_op").is_dir():
        bundle = command("bundle", folder)
        raise ValueError(f"{folder} is no bundled folder, it has no td_pinterest_op: run {bundle}")


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
    """Copy a bundled folder, and read what its workflows need."""
    shutil.copytree(source, into, ignore=_NOT_COPIED)
    texts = {path: path.read_text(encoding="utf-8") for path in _configuration_files(into)}
    for path, text in texts.items():
        path.write_text(_with_inside_addresses(text, environ), encoding="utf-8")
    secrets = [pair for text in texts.values() for pair in _SECRET.findall(text)]
    mappings = [mapping for path in texts for mapping in _mappings(path)]
    files = {path.relative_to(into).as_posix(): text for path, text in texts.items()}
    return Project(
        source=source,
        folder=into,
        workflows=workflows,
        names=_audience_names(mappings),
        databases=tuple(sorted(_databases(mappings))) or ("sandbox",),
        secrets={name: variable for variable, name in secrets},
        files=files,
        ids=frozenset(id_ for text in texts.values() for id_ in _ID.findall(text)),
    )


def _configuration_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".dig", ".yml", ".yaml") and "td_pinterest_op" not in path.parts and path.is_file():
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


def _may_have_issued(mapping: Mapping[str, Any], statement: str) -> bool:
    """Whether a task with this mapping may have issued a statement: its query, if it has one, is part of it."""
    if "query" not in mapping:
        return True
    query = str(mapping["query"]).strip()
    with contextlib.suppress(SettingsError):  # several statements are issued unchanged
        query = require_one_statement(query)
    pieces = _TEMPLATES.split(query)
    return bool(re.search(".*?".join(map(re.escape, pieces)), statement, re.DOTALL))


def _named_audiences(mapping: Mapping[str, Any]) -> set[str]:
    """Return the ids and the name of an audience that a mapping of settings has."""
    values = {str(value) for key, value in mapping.items() if key.startswith("audience_") and key != "audience_type"}
    return {value for value in values if value and "${" not in value}


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
