"""Files and keys of older versions in a project folder that have no effect any more."""

import contextlib
from pathlib import Path

from td_pinterest_op.cli.lint.dig_file import Block, DigFile, Finding, Place, read_workflow, walk

# Of 0.3's config/mirror.yml: what withholds people unless it is false, and what replaces it on each task that mirrors.
_WITHHOLDING = {
    "suppressed": "`suppress: queries/suppressed.sql` next to the query",
    "consented": "`consent: queries/consented.sql` next to the query",
    "control": "`control` in the result_settings",
}
# By which the settings of a mirror of 0.3 are recognised in any file: by one of each.
_OLD_KEYS = {"adopt", "suppressed", "consented"}
_MIRROR_KEYS = {"begin", "ledger", "max_leave_ratio", "resend_days"}
_LARGEST_MIRROR_FILE = 20_000  # bytes: of another tool's files, larger ones are not read
# Of 0.3: what replaces each file. {} is its name.
_FILES = {
    "config/mirror.yml": (
        "the file has no effect any more: its keys are settings of the mirror's task, and its audience is under "
        "`mirror` in config/pinterest.yml. Delete the file last"
    ),
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
    "td_pinterest_op.status.AudienceStatus.look": "one task `py>: td_pinterest_op.status.AudienceStatus`",
}
# Of 0.4's pinterest_many.dig.
_CONCURRENT = "concurrent has no effect any more: `at_once` of `py>: td_pinterest_op.many.Many` replaces it"
_HISTORY_KEYS = {"keep", "database", "table"}
_HISTORY = (
    "a mapping `history` has no effect any more: write `history: pinterest_history`, or `database.table` if the table "
    "is in another database, or '' for none, and `history: ${history}` in the result_settings of each task"
)


def find_outdated(folder: Path) -> list[Finding]:
    """Return findings about files and keys of older versions in a project folder that have no effect any more.

    A finding is an error if the file or key said whom to withhold, else a warning.
    """
    dig = DigFile(path=folder)
    for name, text in _FILES.items():
        if (folder / name).is_file():
            dig.add_warning(Place(folder / name, 1), "outdated", text.format(name))
    for path in (*folder.glob("*.dig"), *folder.glob("*.y*ml"), *folder.glob("*/*.y*ml")):
        is_ours = path.suffix == ".dig" or path.parent == folder / "config"
        is_mirror_file = path == folder / "config" / "mirror.yml"
        if not is_ours and path.stat().st_size > _LARGEST_MIRROR_FILE:
            continue
        pairs = []
        with contextlib.suppress(OSError):  # `check` says what is wrong with it
            pairs = list(walk(read_workflow(path).root))
        names_many = any(key == "py>" and str(value).startswith("td_pinterest_op.many.") for _, key, value in pairs)
        for block, key, value in pairs:
            place = block.places.get(key, block.place)
            is_mirror = is_mirror_file or (block.keys() & _OLD_KEYS and block.keys() & _MIRROR_KEYS)
            if is_mirror and key in _WITHHOLDING and str(value).strip().lower() != "false":  # or blank
                text = (
                    f"`{key}` withholds nobody any more: write {_WITHHOLDING[key]} of each task that mirrors, also of "
                    "an activation with `later_runs: mirror`, and delete this line"
                )
                dig.add_finding(place, "outdated", text)
            elif key == "py>" and str(value) in _CLASSES:
                text = f"{value} does nothing any more: {_CLASSES[value]} replaces it"
                dig.add_warning(place, "outdated", text)
            elif key == "concurrent" and names_many:
                dig.add_warning(place, "outdated", _CONCURRENT)
            elif is_ours and key == "history" and isinstance(value, Block) and value and value.keys() <= _HISTORY_KEYS:
                dig.add_warning(place, "outdated", _HISTORY)
    return sorted(dig.findings)
