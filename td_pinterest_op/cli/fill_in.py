"""Fills in the templates of a project folder: ids, queries, lists, alerts and settings.

A file that somebody has changed since it was laid out stays unchanged, and so does a value that is no longer the
template's.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from td_pinterest_op.audiences.actions import Add
from td_pinterest_op.cli.jobs import Answers
from td_pinterest_op.errors import SettingsError
from td_pinterest_op.redaction.format import sanitize

# Returns the new text of a file, from its text and that of its template.
Fill = Callable[[str, str], str]

_LINE = re.compile(
    r"""(?P<indent>\s*)(?P<key>[\w.]+):(?P<value>\s+("[^"]*"|'[^']*'|[^#\n]*?))?(?P<end>\s*(?:\s#.*)?)"""
)
_TASK = re.compile(r"^( +)py>: td_pinterest_op\.(?:export|activation|many\.Many\.export)\b.*\n", re.MULTILINE)
_LISTS = {"suppress": "queries/suppressed.sql", "consent": "queries/consented.sql"}


def build_fills(answers: Answers) -> Mapping[str, Fill]:
    """Return, for the path of each file of the project folder, a function that fills the file in."""
    job = answers.job
    fills: dict[str, Fill] = {"config/pinterest.yml": partial(_fill_ids, answers=answers)}
    if answers.database:
        fills["config/workflow.yml"] = partial(fill_value, keys=("td", "database"), value=answers.database)
    if answers.alert:
        fills["config/failed.yml"] = _keep_changed_file(partial(_fill_alert, alert=answers.alert))
    if job.has_several_audiences:
        fills["config/audiences.yml"] = _keep_changed_file(partial(_fill_audience_list, answers=answers))
    queries = {f"queries/{job.query}": answers.query} if job.query else {}
    queries |= {path: getattr(answers, name) for name, path in _LISTS.items()}
    for path, sql in queries.items():
        if sql:
            fills[path] = partial(_fill_query, sql=sql)
    fills[job.workflow] = _keep_changed_file(partial(_fill_task, answers=answers))
    return fills


def _keep_changed_file(make: Callable[[str], str]) -> Fill:
    """Return a Fill that applies `make` to the template, but keeps a file that somebody has changed."""
    return lambda text, template: make(template) if text == template else text


def _fill_query(text: str, template: str, *, sql: str) -> str:
    """Return the text of a query file: the given SQL, unless somebody has changed the file."""
    return f"{sql.strip()}\n" if text == template else text


def _fill_ids(text: str, template: str, *, answers: Answers) -> str:
    """Return the text of config/pinterest.yml with ids and names filled in."""
    keys = answers.job.ids
    values: dict[tuple[str, ...], str] = {("ad_account_id",): answers.ad_account_id}
    if answers.new_name and answers.job.creates_audience:
        values["audience_name",] = answers.new_name
    elif keys and answers.audiences:
        values[keys], name = answers.audiences[0]
        if len(keys) > 1 and name:
            values[keys[0], "audience_name"] = name
    for key, value in values.items():
        text = fill_value(text, template, keys=key, value=value)
    return text


def _fill_audience_list(template: str, *, answers: Answers) -> str:
    """Return the text of config/audiences.yml with an entry for each audience."""
    comments = "".join(line for line in template.splitlines(keepends=True) if line.startswith("#"))
    entries = [
        f"  - name: {_quote_yaml(name)}\n    ad_account_id: {_quote_yaml(answers.ad_account_id)}\n"
        f"    audience_id: {_quote_yaml(audience_id)}\n    action: {Add.action.name}\n"
        f"    query: queries/people.sql\n"
        for audience_id, name in answers.audiences
    ]
    return f"{comments}audiences:\n{''.join(entries)}"


def _fill_task(template: str, *, answers: Answers) -> str:
    """Return the workflow's text with the lists of people and further settings added to its task."""
    text, lines = template, [f"{name}: {path}" for name, path in _LISTS.items() if getattr(answers, name)]
    if lines:
        # The template shows them in comments.
        text = re.sub(r"^ *# *(?:suppress|consent): queries/.*\n", "", text, flags=re.MULTILINE)
        if not re.search(r"^ +database:", text, re.MULTILINE):
            lines.insert(0, "database: ${td.database}")
        text = _TASK.sub(lambda match: match[0] + "".join(f"{match[1]}{line}\n" for line in lines), text, count=1)
    for name, value in answers.settings.items():
        text = _fill_setting(text, name, value)
    return text


def _fill_setting(text: str, name: str, value: object) -> str:
    """Return the workflow's text with a setting added to `result_settings`, or replaced in it."""
    line = f"    {name}: {json.dumps(value, ensure_ascii=False)}\n"
    text = re.sub(rf"^    {re.escape(name)}:.*\n", "", text, flags=re.MULTILINE)
    return re.sub(r"^    audience_type:.*\n", lambda match: match[0] + line, text, count=1, flags=re.MULTILINE)


def _fill_alert(template: str, *, alert: str) -> str:
    """Return the text of config/failed.yml with the task for a mail or Slack alert uncommented."""
    kind, _, address = alert.partition(":")
    text = "".join(_uncomment_block(template.splitlines(keepends=True), f"# +{kind}:"))
    return text.replace("[you@example.com]", json.dumps([address])) if address else text


def _uncomment_block(lines: Sequence[str], first: str) -> Iterator[str]:
    """Yield the lines; uncomment the block that begins with the line `first`."""
    inside = False
    for line in lines:
        inside = line.strip() == first or (inside and re.match(r"\s*#   ", line) is not None)
        yield re.sub(r"^(\s*)# ", r"\1", line) if inside else line


def fill_value(text: str, template: str, *, keys: Sequence[str], value: str) -> str:
    """Return YAML text with the value at nested keys set, unless somebody has changed that value.

    Comments and all other lines stay. Raises SettingsError if there is no such key.
    """
    number, match = _find_yaml_line(text, keys)
    if (match["value"] or "").strip() != (_find_yaml_line(template, keys)[1]["value"] or "").strip():
        return text
    lines = text.splitlines(keepends=True)
    lines[number] = f"{match['indent']}{match['key']}: {_quote_yaml(value)}{match['end']}\n"
    return "".join(lines)


def _find_yaml_line(text: str, keys: Sequence[str]) -> tuple[int, re.Match[str]]:
    """Return number and match of the YAML line at nested keys. Raises SettingsError if it is missing."""
    path: list[tuple[int, str]] = []
    for number, line in enumerate(text.splitlines()):
        if match := _LINE.fullmatch(line):
            indent = len(match["indent"])
            path = [*((depth, key) for depth, key in path if depth < indent), (indent, match["key"])]
            if [key for _, key in path] == [*keys]:
                return number, match
    raise SettingsError(f"a file of the project folder has no {'.'.join(keys)} to fill in: create the folder again")


def _quote_yaml(value: str) -> str:
    """Return a value as a YAML string in double quotes. Raises SettingsError for a digdag template."""
    if "${" in value:
        raise SettingsError(f"{sanitize(value)} contains a template, which digdag would fill in: leave it out")
    return json.dumps(value, ensure_ascii=False)
