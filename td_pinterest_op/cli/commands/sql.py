"""`td-pinterest sql`."""

from collections.abc import Sequence
from dataclasses import replace

import click

from td_pinterest_op.cli import files, options
from td_pinterest_op.cli.connection import find_credentials
from td_pinterest_op.errors import SettingsError
from td_pinterest_op.identifiers.identifier_types import CUSTOMER_LIST_TYPES, ROW_ONLY_TYPE_NAMES, join_with_or
from td_pinterest_op.records.columns import (
    IdentifierColumn,
    find_identifier_columns,
    get_column_position,
    has_single_identifier_rows,
)
from td_pinterest_op.redaction.secret import escape_and_quote
from td_pinterest_op.settings.structures import COLUMNS_TYPE, CONTROL_TYPE
from td_pinterest_op.settings.types import WrongValueError
from td_pinterest_op.task_runtime.task import read_row_source
from td_pinterest_op.treasure_data.job import Job, run_or_await_job
from td_pinterest_op.treasure_data.quoting import quote_literal
from td_pinterest_op.treasure_data.user_sql import HASHING_ENGINES, require_one_statement, require_query
from td_pinterest_op.trino.hashed_query import (
    CONTROL_MODULUS,
    UserQuery,
    build_column_text_sql,
    build_empty_select,
    build_hashing_select,
    build_numbered_columns_select,
    build_select_from_hashed,
    prepend_comments,
)
from td_pinterest_op.trino.hashing_sql import build_control_draw_sql
from td_pinterest_op.trino.rejected_rows import build_rejected_select


@options.command(
    """\b
Examples:
  td-pinterest sql hashed --query people.sql --database shop
  td-pinterest sql rejected --query people.sql --columns email,customer_id --key customer_id
  td-pinterest sql control --query people.sql --columns mail=email,id --by id --percent 10 --salt spring
"""
)
@click.argument("kind", type=click.Choice(["hashed", "rejected", "control"]))
@click.option("--query", required=True, metavar="SQL|FILE", help="Your query, or a file with it.")
@click.option("--database", help="Ask the warehouse for the columns of the query, by a job without rows.")
@click.option(
    "--engine",
    type=click.Choice(HASHING_ENGINES),
    default=HASHING_ENGINES[0],
    show_default=True,
    help="The query's engine.",
)
@click.option(
    "--columns",
    "names",
    metavar="NAME,...",
    default="",
    help="The columns of the query, in their order: NAME, or NAME=TYPE for an identifier with another name. With "
    "--database, only NAME=TYPE.",
)
@click.option(
    "--key",
    "keys",
    metavar="COLUMN",
    multiple=True,
    help="rejected: the column with your key for each person; may be repeated.",
)
@click.option("--percent", help="control: the share of the people that is withheld, as in the setting `control`.")
@click.option("--salt", help="control: the salt, as in the setting `control`.")
@click.option("--by", metavar="COLUMN", help="control: the column with the key of each person.  [default: the digest]")
@options.env_file
@options.quiet
def sql(
    common: options.CommonOptions,
    kind: str,
    query: str,
    database: str | None,
    engine: str,
    names: str,
    keys: Sequence[str],
    **control: str | None,
) -> None:
    """Print SQL made from your query, without running it.

    hashed: your query with digests in place of identifiers, and NULL for rejected ones. rejected: your keys with the
    column and the reason of each rejected value. control: the group of each person, `control` or `sent`.
    """
    for option, value in {"key": keys, **control}.items():
        of_kind = "rejected" if option == "key" else "control"
        if value and kind != of_kind:
            raise click.UsageError(f"--{option} is an option of `sql {of_kind}`: leave it out")
    text = require_one_statement(files.read_sql_option(query, "--query"))
    require_query(text, name="--query", engine=engine)
    pairs = [name.strip().partition("=") for name in names.split(",") if name.strip()]
    try:
        types = COLUMNS_TYPE.parse({name: type_ for name, is_typed, type_ in pairs if is_typed})
        group = CONTROL_TYPE.parse(control) if kind == "control" else None
    except WrongValueError as error:
        raise click.UsageError(str(error)) from None
    if not set(ROW_ONLY_TYPE_NAMES).isdisjoint(types.values()):
        raise click.UsageError(f"--columns: the warehouse can hash only {join_with_or(CUSTOMER_LIST_TYPES)}")
    if database:
        if len(types) < len(pairs):
            raise click.UsageError(
                "--columns has a name without =TYPE: with --database, the warehouse supplies the columns. Give "
                "--columns only for identifiers in columns with other names, as NAME=TYPE"
            )
        credentials = find_credentials(common.env_file)
        credentials.require_variables("TD_API_KEY")
        common.print_note(f"Credentials: {credentials.describe_sources()}")
        source = read_row_source(credentials.build_task(query=text, database=database, engine=engine))
        source = source.replace_query(build_empty_select(text), adopts=False)
        with credentials.without_pinterest().open_services() as services:
            job = run_or_await_job(services.treasure_data, source)
    elif pairs:
        job = Job(id="", schema=tuple((name, "varchar") for name, _, _ in pairs))
    else:
        raise click.UsageError(
            "name the query's columns with --columns, or give --database to ask the warehouse for them"
        )
    _require_printable_names(job)
    selected = [name.lower() for name in job.names]
    identifiers = find_identifier_columns(replace(job, option="--query"), types, ignored_columns=selected)
    for option, column in [("--by", control["by"]), *(("--key", key) for key in keys)]:
        if column and column.lower() not in selected:
            raise click.UsageError(f"{option}: the query has no column {column}; it has {', '.join(job.names)}")
    made = UserQuery(text=text, names=job.names, columns=identifiers)
    if group:
        if group.by is None and not has_single_identifier_rows(identifiers):
            raise click.UsageError(
                "rows of this query have several identifiers: use --by to name the column that identifies each person"
            )
        share = str(group.share_in_ten_thousandths)
        statement = build_control_arms_select(made, by=group.by, salt_sql=quote_literal(group.salt), share_sql=share)
    elif kind == "hashed":
        statement = build_digests_only_statement(made)
    else:
        positions = {column.position for column in identifiers}
        others = [name for position, name in enumerate(job.names) if position not in positions]
        if not keys and not others:
            raise click.UsageError(
                "the query selects only identifiers: add a column that identifies each person, such as a customer id"
            )
        statement = f"{build_rejected_select(made, keys=keys or others)}\nORDER BY reason, identifier"
        comment = "The keys of people, with the column and the reason of each value that is rejected."
        statement = prepend_comments(statement, comment, query=text)
    click.echo(statement)  # not wrapped: it is there to be copied


def _require_printable_names(job: Job) -> None:
    """Raise SettingsError if a column's name, which the statement repeats, could move a terminal's cursor."""
    for name in job.names:
        if not name.isprintable():
            raise SettingsError(
                f"the name of the query's column {escape_and_quote(name)} has a control or invisible character: give "
                "it another name in the query, with AS"
            )


def build_digests_only_statement(query: UserQuery) -> str:
    """Return SQL that selects the rows with digests in place of identifiers, NULL where one is rejected."""
    selected = {position: f"c{position}" for position in range(len(query.names))}
    for column in query.columns:
        of_array = f"filter(a{column.position}, each -> length(each) >= 64)"
        of_array = f"transform({of_array}, each -> substr(each, -64))"
        selected[column.position] = of_array if column.is_array else _build_digest_or_null_sql(column)
    comment = "The query with digests in place of identifiers, NULL where one is rejected."
    return build_select_from_hashed(comment, query, selected)


def build_control_arms_select(query: UserQuery, *, by: str | None, salt_sql: str, share_sql: str) -> str:
    """Return SQL that assigns each person of a query to an arm: `control` (withheld by an export) or `sent`.

    `by`: the column with a person's key, or None for the digest in the query's only column of identifiers.
    `share_sql`: how many of 10,000 people are in the control group.
    """
    if by:
        key = build_column_text_sql(get_column_position(by, query.names))
        source = build_numbered_columns_select(query)
    else:
        key = _build_digest_or_null_sql(query.columns[0])
        source = build_hashing_select(query)
    statement = f"""\
SELECT key, CASE
    WHEN {build_control_draw_sql("key", salt_sql)} % {CONTROL_MODULUS}
      < {share_sql} THEN 'control'
    ELSE 'sent' END AS arm
FROM (SELECT {key} AS key FROM (
{source}
))
WHERE key IS NOT NULL
GROUP BY key"""
    comment = (
        "The arm of each person: `control` for those whom an export with this setting withholds, `sent` for others."
    )
    return prepend_comments(statement, comment, query=query.text)


def _build_digest_or_null_sql(column: IdentifierColumn) -> str:
    # A mark may precede the 64 hex digits.
    return f"CASE WHEN length(a{column.position}) >= 64 THEN substr(a{column.position}, -64) END"
