"""The columns of a query, as far as its text shows them, judged by the operator's own rules."""

import re
from collections.abc import Mapping, Sequence

from td_pinterest_op.errors import JobError
from td_pinterest_op.records.columns import Column, find_identifier_columns
from td_pinterest_op.settings.table import ErasureSettings, Settings
from td_pinterest_op.treasure_data.job import Job
from td_pinterest_op.withholding.lists import find_list_columns
from td_pinterest_op.withholding.preparation import find_people_columns

_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_TOKEN = re.compile(r"""'(?:[^']|'')*'|"[^"]+"|`[^`]+`|[A-Za-z_]\w*|[0-9.]+|\S""")
_NAME = re.compile(r"""["`]?([A-Za-z_]\w*)["`]?""")
_LONGEST_QUERY = 100_000


def find_selected_names(sql: str) -> list[str] | None:
    """Return the names of the columns that a query selects, in lower case, or None unless its text shows all."""
    if len(sql) > _LONGEST_QUERY or "${" in sql:
        return None
    words = [token.lower() for token in _TOKEN.findall(_COMMENT.sub(" ", sql))]
    columns: list[list[str]] = []
    depth = 0
    for word in words:
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(word, 0)
        if depth == 0 and word == "select":
            columns = [[]]
        elif depth == 0 and columns and word in ("from", ";", "union", "where", "limit"):
            break
        elif depth == 0 and columns and word == ",":
            columns.append([])
        elif columns and word not in ("distinct", "all"):
            columns[-1].append(word)
    names = [_find_name(column) for column in columns]
    shown = [name for name in names if name]
    return shown if words[:1] != ["("] and names and len(shown) == len(names) else None


def _find_name(column: list[str]) -> str:
    """Return the name of a selected column from its tokens, such as `lower ( mail ) as email`, or "" if unknown."""
    if len(column) > 2 and _NAME.fullmatch(column[0]) and column[1] == "(" and column[-1] == ")":
        return "_col"  # a function without a name for its result
    name = _NAME.fullmatch(column[-1]) if column else None
    return name[1] if name and (len(column) == 1 or column[-2] in (".", "as", ")")) else ""


def find_column_problems(
    settings: Settings | ErasureSettings, *, query: str, lists: Mapping[str, str]
) -> Mapping[str, str]:
    """Return what is wrong with the columns of an export's queries, by the parameter that has the query.

    `lists`: the queries of opt-outs and consents, by parameter.
    """
    problems = {}
    of_lists: dict[str, Sequence[Column]] = {}
    for name, sql in lists.items():
        if isinstance(settings, Settings) and (job := _describe_job(sql)):
            try:
                of_lists[name] = find_list_columns(job, settings)
            except JobError as error:
                problems[name] = str(error)
    people = _describe_job(query)
    # `columns` may name a column of any of the queries.
    if people and (not settings.columns or len(of_lists) == len(lists)):
        try:
            if isinstance(settings, Settings):
                find_people_columns(people, settings, of_lists)
            else:
                find_identifier_columns(people, settings.columns)
        except JobError as error:
            problems["query"] = str(error)
    return {name: f"{name}: {text.partition('cannot be exported: ')[2] or text}" for name, text in problems.items()}


def _describe_job(sql: str) -> Job | None:
    """Return a job with the columns that a query selects, as text columns, or None if the query does not show them."""
    names = find_selected_names(sql)
    schema = tuple((name, "varchar") for name in names or ())
    return Job(id="", schema=schema, records=None, size=None) if schema else None
