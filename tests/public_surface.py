"""Lists the names that docs/stability.md promises to keep: `python -m tests.public_surface` writes them to a file.

A test compares the file with the program, so that a change of a public name is seen in review.
"""

import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import td_pinterest_op
from td_pinterest_op.audiences.actions import ACTIONS, EXPORT_SETTINGS
from td_pinterest_op.cli.commands.explain import ERRORS_BY_NAME
from td_pinterest_op.cli.program import program
from td_pinterest_op.identifiers.identifier_types import TYPES
from td_pinterest_op.identifiers.reasons import Reason
from td_pinterest_op.mirroring.ledger import COLUMN_DEFINITIONS as LEDGER
from td_pinterest_op.run_history.history_table import COLUMN_TYPES as HISTORY
from td_pinterest_op.run_history.history_table import flatten
from td_pinterest_op.settings.table import (
    ERASURE_SETTINGS,
    NON_SETTING_PARAMETERS,
    STATUS_SETTINGS,
    TASK_PARAMETERS,
    SettingsTable,
)
from td_pinterest_op.stats import Stats
from td_pinterest_op.trino.rejected_rows import RESERVED_COLUMNS as REJECTED

ROOT = Path(__file__).parent.parent
FILE = ROOT / "tests" / "unit" / "public_surface.txt"


def list_names() -> Iterator[str]:
    """Yield each public name, as its kind, a blank and the name."""
    files = Path(td_pinterest_op.__path__[0]).glob("[a-z]*.py")
    for module in [importlib.import_module(f"td_pinterest_op.{file.stem}") for file in files]:
        for name, class_ in inspect.getmembers(module, inspect.isclass):
            if class_.__module__ == module.__name__ and hasattr(class_, "run") and not name.startswith("_"):
                yield f"class {module.__name__}.{name}"
    yield from (f"action {each.action.name}" for each in ACTIONS)
    tables: dict[str, SettingsTable[Any]] = {
        "export": EXPORT_SETTINGS,
        "status": STATUS_SETTINGS,
        "erasure": ERASURE_SETTINGS,
    }
    for entry_point, table in tables.items():
        yield from (f"setting of {entry_point}: {name}" for name in table.by_name)
    yield from (f"parameter {name}" for name in (*TASK_PARAMETERS, *NON_SETTING_PARAMETERS))
    yield "key of an entry: name"
    yield from (f"statistic {name}" for name in flatten(Stats(keys=0).to_json(), separator=".", nested_names=()))
    yield from (f"column of a history: {name} {type_}" for name, type_ in HISTORY.items())
    yield from (f"column of a ledger: {column.strip()}" for column in LEDGER.split(","))
    yield from (f"column of rejected rows: {name}" for name in REJECTED)
    yield from (f"identifier {name}" for name in TYPES)
    yield from (f"reason {reason.value}" for reason in Reason)
    yield from (f"error {name}" for name in ERRORS_BY_NAME)
    for name, command in program.commands.items():
        yield f"command {name}"
        yield from (f"option of {name}: {option}" for param in command.params for option in param.opts)
    files = (path for path in (ROOT / "workflows").rglob("*") if path.suffix in (".dig", ".yml", ".sql"))
    yield from (f"file {path.relative_to(ROOT / 'workflows').as_posix()}" for path in files)


def render() -> str:
    """Return the content of the file: the names in alphabetical order, a line each."""
    return "".join(f"{name}\n" for name in sorted(set(list_names())))


if __name__ == "__main__":
    FILE.write_text(render())
