"""The columns of a query, as far as its text shows them, judged by the operator's rules."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from td_pinterest_op.cli.lint.workflow import TEMPLATE_PATTERN
from td_pinterest_op.errors import JobError, SettingProblem
from td_pinterest_op.records.columns import (
    IdentifierColumn,
    find_identifier_columns,
    find_people_columns,
    find_withholding_list_columns,
)
from td_pinterest_op.settings.table import ErasureSettings, ExportSettings
from td_pinterest_op.treasure_data.job import Job

TEMPLATE_PLACEHOLDER = "of_a_template"
"""In place of a template; a query without templates has no such name."""


def build_job_of_selected_columns(sql: str) -> Job | None:
    """Return a job with the columns that a query selects, or None if its text does not show all.

    Names are as in Trino: in lower case, "_col0" for a first column without one. The type, which the text does not
    show, is always "varchar".
    """
    import sqlglot  # which takes time

    try:
        query = sqlglot.parse_one(TEMPLATE_PATTERN.sub(TEMPLATE_PLACEHOLDER, sql), read="trino")
    except (sqlglot.errors.SqlglotError, RecursionError):
        return None
    columns = []
    for position, selected in enumerate(query.selects if isinstance(query, sqlglot.exp.Query) else ()):
        inner = selected.unnest()
        is_named = isinstance(inner, (sqlglot.exp.Column, sqlglot.exp.Dot, sqlglot.exp.Star))
        name = (selected.alias or (inner.name if is_named else f"_col{position}")).lower()
        if "*" in name or TEMPLATE_PLACEHOLDER in name:
            return None
        columns.append((name, "varchar"))
    return Job(id="", schema=tuple(columns)) if columns else None


def find_column_problems(
    settings: ExportSettings | ErasureSettings, *, query: str, lists: Mapping[str, str]
) -> Iterator[SettingProblem]:
    """Yield the problems with the columns of a task's queries. The key of each is the parameter with the query.

    `query`: the SQL for the people. `lists`: the SQL for opt-outs and consents, by parameter.
    """
    of_lists: dict[str, Sequence[IdentifierColumn]] = {}
    for name, sql in lists.items():
        if isinstance(settings, ExportSettings) and (job := build_job_of_selected_columns(sql)):
            try:
                of_lists[name] = find_withholding_list_columns(replace(job, option=name), settings)
            except JobError as error:
                yield SettingProblem(key=name, code="columns", text=str(error))
    job = build_job_of_selected_columns(query)
    # `columns` may name a column of any of the queries.
    if job and (not settings.columns or len(of_lists) == len(lists)):
        people = replace(job, option="this task")
        try:
            if isinstance(settings, ExportSettings):
                find_people_columns(people, settings, of_lists)
            else:
                find_identifier_columns(people, settings.columns)
        except JobError as error:
            yield SettingProblem(key="query", code="columns", text=str(error))
