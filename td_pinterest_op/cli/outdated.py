"""Files and keys of older versions in a project folder that have no effect any more."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

# Of 0.3's config/mirror.yml: what withholds people unless it is false, and what replaces it.
_WITHHOLDING = {
    "suppressed": "`suppress: queries/suppressed.sql`",
    "consented": "`consent: queries/consented.sql`",
    "control": "the setting `control`",
}
# Of 0.3: what replaces each file. {} is its name.
_FILES = {
    "config/history.yml": "{} has no effect any more: the setting `history` of each task replaces it. Delete the file",
    "pinterest_mirror_compact.dig": "{} is not needed any more: the mirror compacts its ledger itself. Delete the file",
    "queries/mirror_setup.sql": (
        "queries/mirror_*.sql have no effect any more: the mirror makes its statements itself. Delete the files"
    ),
    "queries/history_run.sql": (
        "queries/history_run.sql, history_table.sql, history_known.sql and history_status.sql have no effect any more: "
        "the operator writes the history itself. Delete the files"
    ),
}
# Of 0.3 and 0.4: what a workflow names after `py>:`, and what replaces it.
_MANY = "one task `py>: td_pinterest_op.many.Many` with `audiences` and `at_once`, as in the new pinterest_many.dig"
_MIRROR = "one task `py>: td_pinterest_op.export.PinterestExport` with `action: mirror_current_audience`"
_CLASSES = {
    "td_pinterest_op.activation.PinterestActivation.prepare": (
        "one task `py>: td_pinterest_op.activation.PinterestActivation` with `later_runs: mirror`, and with the lists "
        "and the control group of config/mirror.yml,"
    ),
    "td_pinterest_op.many.Many.renew": _MANY,
    "td_pinterest_op.many.Many.export": _MANY,
    "td_pinterest_op.many.Many.gate": _MANY,
    "td_pinterest_op.mirror.Mirror.look": _MIRROR,
    "td_pinterest_op.mirror.Mirror.send": _MIRROR,
}
# Of 0.4's pinterest_many.dig.
_CONCURRENT = "concurrent has no effect any more: `at_once` of `py>: td_pinterest_op.many.Many` replaces it"
_HISTORY = (
    "a mapping `history` has no effect any more: write `history: pinterest_history`, or `database.table` if the table "
    "is in another database, or '' for none, and `history: ${history}` in the result_settings of each task"
)


@dataclass(frozen=True, slots=True, order=True)
class Outdated:
    """A file or key of an older version without effect. `line`: from 1. `withholds`: whether it withheld people."""

    path: Path
    line: int
    message: str
    withholds: bool = False

    def __str__(self) -> str:
        """Return the finding in the form of `td-pinterest check`."""
        return f"{self.path}:{self.line}: outdated: {self.message}"


def find_outdated(folder: Path) -> list[Outdated]:
    """Return what a project folder has of an older version without effect, sorted by file and line."""
    files = {folder / name: text.format(name) for name, text in _FILES.items()}
    found = [Outdated(path, 1, text) for path, text in files.items() if path.is_file()]
    mirror = folder / "config" / "mirror.yml"
    if mirror.is_file():
        found += _find_outdated_mirror(mirror)
    for pattern in ("*.dig", "config/*.yml"):
        for path in folder.glob(pattern):
            found += _find_outdated_keys(path)
    return sorted(found)


def _find_outdated_mirror(path: Path) -> Iterator[Outdated]:
    """Yield what withholds people in a config/mirror.yml, and the file itself."""
    for key, value in _iterate_pairs(path):
        # Left blank, it withheld too.
        is_off = isinstance(value, yaml.ScalarNode) and value.value.strip().lower() == "false"
        if key.value in _WITHHOLDING and not is_off:
            text = (
                f"`{key.value}` withholds nobody any more: write {_WITHHOLDING[key.value]} on each task that mirrors, "
                "also on that of an activation with `later_runs: mirror`, and delete this line"
            )
            yield Outdated(path, key.start_mark.line + 1, text, withholds=True)
    yield Outdated(
        path,
        1,
        "the file has no effect any more: its keys are settings of the mirror's task, and its audience is under "
        "`mirror` in config/pinterest.yml. Delete the file",
    )


def _find_outdated_keys(path: Path) -> Iterator[Outdated]:
    """Yield the keys and values of older versions in a workflow or a file of configuration."""
    pairs = list(_iterate_pairs(path))
    classes = [value.value for key, value in pairs if key.value == "py>" and isinstance(value, yaml.ScalarNode)]
    names_many = not _CLASSES.keys().isdisjoint(classes)
    for key, value in pairs:
        line = key.start_mark.line + 1
        if key.value == "py>" and isinstance(value, yaml.ScalarNode) and value.value in _CLASSES:
            yield Outdated(path, line, f"{value.value} does nothing any more: {_CLASSES[value.value]} replaces it")
        elif key.value == "concurrent" and names_many:
            yield Outdated(path, line, _CONCURRENT)
        elif key.value == "history" and isinstance(value, yaml.MappingNode):
            names = {member.value for member, _ in value.value if isinstance(member, yaml.ScalarNode)}
            if names and names <= {"keep", "database", "table"}:
                yield Outdated(path, line, _HISTORY)


def _iterate_pairs(path: Path) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
    """Yield the key and the value of every pair in a YAML file, at any depth; none if the file cannot be read."""
    try:
        waiting = [yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)]
    except (OSError, ValueError, RecursionError, yaml.YAMLError):  # `check` says what is wrong with it
        return
    seen = set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:  # an alias
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                waiting.append(value)
                if isinstance(key, yaml.ScalarNode):
                    yield key, value
