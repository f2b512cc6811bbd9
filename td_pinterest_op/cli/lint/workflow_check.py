"""What is wrong with a workflow, said before a run.

A run's own readers judge each task of this operator (operator_task.py). Below is what no run can see, or says too late.
What digdag decides (exports, loops, variables) is not judged.
"""

# To add a finding:
# 1. Test it (tests/unit/cli/lint/wrong_workflows.txt and right_workflows.txt).
# 2. What a run refuses or warns of: add it to the reader that a run calls. `ProblemCode` in errors.py has the codes,
#    `_add_findings` in cli/lint/operator_task.py says which are warnings. What no run can see is in `_check_blocks`.
import contextlib
import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from td_pinterest_op.cli.connection import SECRETS_BY_VARIABLE
from td_pinterest_op.cli.lint.findings import FileLine, Finding, Findings
from td_pinterest_op.cli.lint.operator_task import (
    EXPORT_CLASS,
    PACKAGE_PREFIX,
    SETTINGS_TABLE_BY_CLASS,
    VARIABLE_BY_CREDENTIAL,
    check_task,
    count_unknown_values,
    find_operator_place,
    is_unknown,
)
from td_pinterest_op.cli.lint.yaml_file import YamlBlock, YamlReader
from td_pinterest_op.errors import SettingsError
from td_pinterest_op.redaction.secret import mask_and_escape
from td_pinterest_op.settings.parse import parse_raw_settings
from td_pinterest_op.settings.table import FOR_THIS_RUN_PARAMETER
from td_pinterest_op.settings.types import is_left_out, may_have_lost_digits

BUILT_IN_CONNECTOR_CODE = "built-in-connector"
"""The code of the finding about a td> task with Treasure Data's own Pinterest connector."""

_SECRET_NAMES = sorted({*SECRETS_BY_VARIABLE, *VARIABLE_BY_CREDENTIAL} - {"client_id", "PINTEREST_CLIENT_ID"})
_CONNECTOR_SETTING_NAMES = frozenset({"ad_account_id", "audience_type"})


@dataclass(frozen=True, kw_only=True)
class CheckedWorkflow:
    """The result of a check. `files`: the workflow's file and those that it includes."""

    path: Path
    findings: list[Finding]  # sorted
    files: frozenset[Path]
    task_count: int  # tasks of this operator
    unknown_count: int  # values in them that only a run knows


def check_workflow(path: Path) -> CheckedWorkflow:
    """Return what is wrong with a .dig file. Nothing outside its folder is read, and nothing is contacted."""
    findings = Findings()
    reader = YamlReader(findings)
    tasks: list[YamlBlock] = []
    try:
        with work_inside(path.parent), _without_log():
            root = reader.read_file(Path(path.name), FileLine(Path(path.name), 1))
            # What cannot be read may have anything.
            if root is not None and not findings:
                tasks = list(_find_operator_tasks(root))
                _check_blocks(root, path, findings)
    except OSError as error:  # the folder
        findings.add(FileLine(Path(path.name), 1), "yaml", f"{path} cannot be read: {error.strerror}")
    return CheckedWorkflow(
        path=path,
        findings=sorted(replace(each, path=path.parent / each.path) for each in findings),
        files=frozenset(path.parent / each for each in reader.files),
        task_count=len(tasks),
        unknown_count=sum(map(count_unknown_values, tasks)),
    )


@contextlib.contextmanager
def work_inside(folder: Path) -> Iterator[None]:
    """Within the block, work in a folder, as a run does in its project's. Raises OSError."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@contextlib.contextmanager
def _without_log() -> Iterator[None]:
    """Within the block, log no warning: what a run would log is a finding, or no matter of the file."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def find_class_name(block: YamlBlock) -> str:
    """Return the class of this package that a task runs, or "" for another task."""
    name = str(block.get("py>", "")).strip()
    return name.removesuffix(".run") if name.startswith(PACKAGE_PREFIX) and not is_unknown(name) else ""


def _find_operator_tasks(root: YamlBlock) -> Iterator[YamlBlock]:
    return (block for block in root.walk_blocks() if find_class_name(block))


def _check_blocks(root: YamlBlock, path: Path, findings: Findings) -> None:
    exported = [block.get_block("_export") for block in root.walk_blocks() if "_export" in block]
    exports_settings = any(not exports.keys().isdisjoint(("result_settings", "audiences")) for exports in exported)
    for block in root.walk_blocks():
        if FOR_THIS_RUN_PARAMETER in block:
            message = f"{FOR_THIS_RUN_PARAMETER} is for one run: pass it with -p, and leave it out of the workflow"
            findings.add(block.places[FOR_THIS_RUN_PARAMETER], "for-this-run", message)
        _check_plain_secrets(block, set(SECRETS_BY_VARIABLE), findings)
        name = find_class_name(block)
        if name and name not in SETTINGS_TABLE_BY_CLASS:
            message = f"there is no class {mask_and_escape(name)}; an export is {EXPORT_CLASS}"
            findings.add(find_operator_place(block), "class", message)
        elif name:
            settings = block.get_block("result_settings")
            _check_plain_secrets(settings, set(_SECRET_NAMES), findings)
            for member in ("result_settings", "audiences", "_env"):
                _check_ids(block.get(member), block.find_place(member), findings)
            check_task(block, name, findings, exports_settings=exports_settings)
        elif "td>" in block:
            _check_td_task(block, path, findings)
    for exports in exported:
        _check_plain_secrets(exports.get_block("result_settings"), set(_SECRET_NAMES), findings)
        _check_ids(exports, exports.place, findings)


def _check_td_task(block: YamlBlock, path: Path, findings: Findings) -> None:
    settings = find_built_in_connector_settings(block)
    if settings is None:
        return
    _check_plain_secrets(settings, set(_SECRET_NAMES), findings)
    message = (
        "this exports with Treasure Data's built-in Pinterest connector, not with this operator: `td-pinterest init "
        f"FOLDER --from {path}` makes a folder that does the same with it"
    )
    findings.add(settings.place, BUILT_IN_CONNECTOR_CODE, message)


def find_built_in_connector_settings(block: YamlBlock) -> YamlBlock | None:
    """Return the settings of a td> task with Treasure Data's built-in Pinterest connector, or None for another task."""
    if "td>" not in block or "result_settings" not in block:
        return None
    settings = YamlBlock(block.find_place("result_settings"))
    with contextlib.suppress(SettingsError):
        given = block["result_settings"]
        settings.update({str(name): value for name, value in parse_raw_settings(given).items()})
        settings.places |= given.places if isinstance(given, YamlBlock) else {}
    is_typed = str(settings.get("type")).strip().lower() == "pinterest"
    is_named = "result_connection" in block and settings.keys() >= _CONNECTOR_SETTING_NAMES
    return settings if is_typed or is_named else None


def _check_plain_secrets(block: YamlBlock, names: set[str], findings: Findings) -> None:
    for name in sorted(names & {*_SECRET_NAMES} & block.keys()):
        value = block[name]
        if not is_left_out(value) and (not isinstance(value, str) or has_plain_part(value)):
            message = (
                f"{name} is in plain text here, for everybody who can read the workflow: make it a secret, as in "
                "config/environment.yml, and revoke this one, which everybody who has read it can use"
            )
            findings.add(block.find_place(name), "plain-secret", message)


def has_plain_part(value: str) -> bool:
    """Whether a value has text beside its `${…}`."""
    return bool(re.sub(r"\$\{[^{}]*\}", "", value).strip())


def _check_ids(value: Any, place: FileLine, findings: Findings) -> None:
    if isinstance(value, YamlBlock):
        for key, member in value.items():
            _check_ids(member, value.find_place(key), findings)
    elif isinstance(value, list):
        for item in value:
            _check_ids(item, place, findings)
    elif isinstance(value, int) and may_have_lost_digits(value):
        message = "a number of more than 15 digits can change when digdag reads it: put the id in quotes"
        findings.add(place, "unquoted-id", message)
