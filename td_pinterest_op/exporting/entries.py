"""The entries of the parameter `audiences`: each is one export, whose settings and parameters override the task's."""

import hashlib
import logging
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePath
from typing import Any

from td_pinterest_op.audiences.actions import EXPORT_SETTINGS, Mirror, find_action_spec
from td_pinterest_op.audiences.request import ROW_SOURCE_PARAMETERS, get_raw_settings, require_no_text_of_console
from td_pinterest_op.errors import SettingsError
from td_pinterest_op.runtime.project_file import resolve_project_path
from td_pinterest_op.settings.parse import find_target_audience_id, parse_parameter, parse_raw_settings
from td_pinterest_op.settings.structures import LIST_TYPE
from td_pinterest_op.settings.table import (
    FOR_THIS_RUN_PARAMETER,
    RESTRICTING_SETTING_NAMES,
    SETTINGS_FOR_ALL_ENTRIES,
    TASK_PARAMETERS,
    WITHHOLDING_LIST_NAMES,
)
from td_pinterest_op.settings.types import (
    TEXT_TYPE,
    build_integer_type,
    describe_value,
    has_secret_reference,
    is_left_out,
)
from td_pinterest_op.task_runtime.task import Task

log = logging.getLogger(__name__)

_AT_ONCE_TYPE = build_integer_type(1, 32)
_LONGEST_NAME = 100  # characters
# A file's name has at most 255 bytes, and a page is first written to a file with a longer name.
_LONGEST_FILE_STEM = 180


def parse_at_once(task: Task) -> int:
    """Return how many exports run at a time: the parameter `at_once`, or 4. Raises SettingsError."""
    at_once: int | None = parse_parameter("at_once", task.params.get("at_once"), _AT_ONCE_TYPE)
    return at_once or 4


def parse_entries(task: Task) -> Mapping[str, Mapping[object, Any]]:
    """Return the entries of the parameter `audiences` by name, each with its settings and parameters.

    Raises SettingsError for a missing or wrong list, and for settings for this run that name an unknown entry.
    """
    listed = task.params.get("audiences")
    require_no_text_of_console(task, listed, name="audiences")
    if isinstance(listed, str) and re.fullmatch(r"\S+\.ya?ml", listed.strip()):
        raise SettingsError("`audiences` is the name of a file: include the file under `_export`", key="audiences")
    items = parse_parameter("audiences", listed, LIST_TYPE)
    if not items:
        text = "there is no list `audiences`, or it is empty: add a mapping of settings for each audience"
        raise SettingsError(text, key="audiences")
    entries: dict[str, Mapping[object, Any]] = {}
    for number, item in enumerate(items, start=1):
        place = f"entry {number} of `audiences`"
        require_no_text_of_console(task, item, name=place)
        entry = parse_raw_settings(item, place=place)
        if not entry:
            text = f"{place} is empty: write the settings of an audience into it"
            raise SettingsError(text, key="audiences")
        given = str(entry.get("name") or "").strip() or f"entry {number}"
        name = parse_parameter(f"name of entry {number}", given, TEXT_TYPE)
        if len(name) > _LONGEST_NAME:
            text = f"{place} has a name of more than {_LONGEST_NAME} characters: give it a shorter one"
            raise SettingsError(text, key="audiences")
        if name in entries:
            text = f"{place} has the name of another, {name}: give each entry its own name"
            raise SettingsError(text, key="audiences")
        entries[name] = entry
    require_no_text_of_console(task, task.params.get(FOR_THIS_RUN_PARAMETER), name=FOR_THIS_RUN_PARAMETER)
    for_this_run = parse_raw_settings(task.params.get(FOR_THIS_RUN_PARAMETER), place=FOR_THIS_RUN_PARAMETER)
    unknown = [describe_value(name).strip("'") for name in for_this_run if name not in entries]
    if unknown or (FOR_THIS_RUN_PARAMETER in task.params and not for_this_run):
        raise SettingsError(
            f"{FOR_THIS_RUN_PARAMETER} must be a mapping from names of entries to settings"
            + (f", and there is no entry {', '.join(unknown)}" if unknown else ""),
            key=FOR_THIS_RUN_PARAMETER,
        )
    _require_one_mirror_per_audience(task, entries)
    return entries


def _require_one_mirror_per_audience(task: Task, entries: Mapping[str, Mapping[object, Any]]) -> None:
    """Raise SettingsError if two entries mirror the same audience: each would remove the people of the other."""
    mirrors: dict[tuple[object, ...], str] = {}  # entries' names by their audience
    for name, entry in entries.items():
        settings = {**get_raw_settings(task), **entry}
        action = find_action_spec(settings)
        if action != Mirror.action:
            continue
        audience_id = find_target_audience_id(settings, action, table=EXPORT_SETTINGS)
        audience: tuple[object, ...] = (audience_id,)
        if not audience_id:  # another ad account may have an audience of the same name
            audience = (str(settings.get("ad_account_id")), str(settings.get("audience_name")))
        other = mirrors.setdefault(audience, name)
        if other != name:
            raise SettingsError(
                f"entries {other} and {name} mirror the same audience, so that each would remove the people of the "
                "other: make them one entry, whose query finds the people of both",
                key="audiences",
            )


def reject_settings_of_task(entry: Mapping[object, Any], name: str) -> None:
    """Raise SettingsError if the `entry` called `name` has what only the task may have, such as credentials."""
    place = f"entry {name}"
    params, settings = _split_entry(entry)
    connecting = SETTINGS_FOR_ALL_ENTRIES.by_name.keys() - {"type"}
    if common := [key for key, value in settings.items() if key in connecting and not is_left_out(value)]:
        raise SettingsError(
            f"{place} has {', '.join(map(str, common))}: credentials and connection settings stand on the task, and "
            "count for all entries; to have others for some, spread the entries over several tasks with for_each>",
            key=str(common[0]),
        )
    if not is_left_out(settings.get("report")):
        _require_page_inside_project(PurePath(str(settings["report"]).strip()), name)
    if secret := next((key for key, value in {"name": name, **params}.items() if has_secret_reference(value)), None):
        raise SettingsError(f"{place}: {secret} names a secret of the workflow, which no entry may do", key=secret)


def build_entry_task(task: Task, entry: Mapping[object, Any], name: str) -> Task:
    """Return the task of one export: `task` with the settings and parameters of the `entry` called `name`.

    Raises SettingsError if the settings of the task, or those for this run, are none.
    """
    place = f"entry {name}"
    params, settings = _split_entry(entry)
    shared = dict(get_raw_settings(task))
    merged = shared | {key: value for key, value in settings.items() if not is_left_out(value) or key not in shared}
    # What restricts and is blank is an error in either place. Any other blank setting overrides nothing.
    for key in RESTRICTING_SETTING_NAMES:
        if any(key in each and is_left_out(each[key]) for each in (shared, settings)):
            merged[key] = None
    action = find_action_spec(merged)
    if action and not action.adds_people:  # the task's lists are for the entries that add people
        for key in WITHHOLDING_LIST_NAMES:
            if key not in settings and merged.get(key) is not None:
                del merged[key]
    replaced = [key for key in settings if key in shared and str(shared[key]) != str(merged[key])]
    for key in WITHHOLDING_LIST_NAMES:
        if key in replaced:
            text = "%s: for %s, %s in the entry replaces %s of the task"
            log.warning(text, place, key, _describe_without_sql(settings[key]), _describe_without_sql(shared[key]))
    if replaced:
        log.info("%s overrides the task's %s", place, ", ".join(map(str, replaced)))
    left_out = {FOR_THIS_RUN_PARAMETER, "audiences"}
    if not ROW_SOURCE_PARAMETERS.isdisjoint(params):
        left_out |= ROW_SOURCE_PARAMETERS
    own = {key: value for key, value in task.params.items() if key not in left_out}
    own |= {**params, "result_settings": merged}
    for_this_run = parse_raw_settings(task.params.get(FOR_THIS_RUN_PARAMETER), place=FOR_THIS_RUN_PARAMETER)
    if name in for_this_run:
        own[FOR_THIS_RUN_PARAMETER] = for_this_run[name]
    return replace(task, entry=name, params=own)


def _split_entry(entry: Mapping[object, Any]) -> tuple[dict[str, Any], dict[object, Any]]:
    """Return an entry's parameters and its settings."""
    params = {key: entry[key] for key in TASK_PARAMETERS if key in entry}
    return params, {key: value for key, value in entry.items() if key not in {"name", *params}}


def _require_page_inside_project(report: PurePath, name: str) -> None:
    """Raise SettingsError unless the `report` of the entry called `name` is a page in the project's folder."""
    if report.suffix != ".html":
        raise SettingsError(f"entry {name}: report must be the path of a file that ends in .html", key="report")
    for path in (report, build_entry_report_path(report, name)):
        resolve_project_path(str(path), key="report")


def build_entry_report_path(report: PurePath, name: str) -> PurePath:
    """Return the path of an entry's page: `p.html` becomes `p-NAME.html`, with a hash at the end of a long name."""
    escaped = name.replace("%", "%25").replace("/", "%2F")  # so that two names give two files
    stem = f"{report.stem}-{escaped}".encode(errors="surrogatepass")
    if len(stem) > _LONGEST_FILE_STEM:
        kept = stem[:_LONGEST_FILE_STEM].decode(errors="ignore")
        return report.with_name(f"{kept}-{hashlib.sha256(stem).hexdigest()[:8]}{report.suffix}")
    return report.with_name(f"{report.stem}-{escaped}{report.suffix}")


def _describe_without_sql(query: object) -> str:
    """Return the name of a list's file, or "a query": its SQL may have values of people."""
    text = str(query).strip()
    return text if text.lower().endswith(".sql") and len(text.split()) == 1 else "a query"
