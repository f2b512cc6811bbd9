"""SQL for Trino that selects whom a mirror sends and whom it withholds, by the rule in the docstring of `withholding`.

An answer is a value's digest, or the reason for its rejection (see `build_hashing_sql`). The statement of
`build_withholding_select` has these steps, from the inside out:

1. Each row of the query becomes an array of answers. A hash of this array identifies the row's person: rows with the
   same values are one person.
2. There is a row for each answer of each person, with counts (`_build_person_answers_select`). If each row
   of the query has a single answer, and no key for the control group, the answer itself identifies the person.
3. These rows are joined with the lists. A person is suppressed, or consents, if any of the answers is on the list.
4. The rows of each digest are put together, whoever holds it, and its outcome is decided.
5. A digest that is withheld becomes the reason, and the rows of each reason are counted.
"""

from collections.abc import Mapping

from td_pinterest_op.identifiers.reasons import Reason
from td_pinterest_op.records.columns import get_column_position, has_single_identifier_rows
from td_pinterest_op.records.digests import PREHASHED_DIGEST_PREFIX
from td_pinterest_op.settings.structures import ControlGroup
from td_pinterest_op.settings.table import CONSENT_LIST_NAME, SUPPRESS_LIST_NAME
from td_pinterest_op.stats import IN_CONTROL_GROUP, SUPPRESSED, WITHOUT_CONSENT
from td_pinterest_op.treasure_data.quoting import quote_literal
from td_pinterest_op.trino.hashed_query import CONTROL_MODULUS, UserQuery, build_column_text_sql, build_hashing_select
from td_pinterest_op.trino.hashing_sql import build_control_draw_sql

BLANK_ROW_SQL = "\nUNION ALL SELECT ''"
"""An `answer` that counts nothing, to add to a SELECT for a table: whether one made of no rows has columns is unknown.

The caller adds its other columns, after a comma.
"""
# The mark before the answers in a row without a control-group key (`-ab…`, `-=ab…`, `-unsure`): the row is not sent,
# but if its person is suppressed, nobody is sent with this digest.
_UNSENT_ROW_MARK = "-"
_UNSURE_REASONS_SQL = f"('{Reason.UNSURE.value}', '{_UNSENT_ROW_MARK}{Reason.UNSURE.value}')"
_IS_DIGEST_SQL = "length(answer) = 64"
_IS_PREHASHED_SQL = f"CASE WHEN substr(answer, 1, 1) = '{PREHASHED_DIGEST_PREFIX}' THEN 1 ELSE 0 END"
_IS_UNSENT_SQL = f"CASE WHEN substr(answer, 1, 1) = '{_UNSENT_ROW_MARK}' THEN 1 ELSE 0 END"
_BARE_DIGEST_SQL = "CASE WHEN length(answer) >= 64 THEN substr(answer, -64) ELSE answer END"
_COUNT_COLUMNS = ("given", "hashed", "row_count", "invalid_rows")
_SUMS_SQL = ", ".join(f"sum({name}) AS {name}" for name in _COUNT_COLUMNS)


def build_withholding_select(query: UserQuery, *, list_tables: Mapping[str, str], control: ControlGroup | None) -> str:
    """Return a SELECT with a row for each digest to send, and a row with counts for each reason not to send values.

    The column `answer` is the digest or the reason. The other columns count: `people` (digests), `given` (values),
    `hashed` (values that were digests already), `row_count` (rows of the query) and `invalid_rows`. Their sums over all
    rows are the totals. `list_tables`: the names of tables with the rows of `build_list_digests_select`, by list name.
    """
    has_person_column = not has_single_identifier_rows(query.columns) or bool(control and control.by)
    if has_person_column:
        persons = _build_person_answers_select(query, control)
    else:
        persons = f"""
  SELECT answer, {_build_in_control_sql(control, "answer", condition=_IS_DIGEST_SQL)} AS in_control, {_SUMS_SQL}
  FROM ({build_all_digests_select(query)})
  GROUP BY answer"""
    # Only digests: people whose value is rejected for the same reason as one of a list are not on it.
    joins = "".join(
        f"\n  LEFT JOIN {table} AS {name} ON {name}.answer = persons.answer AND length({name}.answer) = 64"
        for name, table in list_tables.items()
    )
    is_suppressed = f"{SUPPRESS_LIST_NAME}.answer IS NOT NULL"
    # A person with an address that cannot be compared is suppressed: the list may have it as a hash.
    suppressed = f"CASE WHEN {is_suppressed} OR persons.answer IN {_UNSURE_REASONS_SQL} THEN 1 ELSE 0 END"
    # A row that is not sent gives no consent.
    consented = f"CASE WHEN {CONSENT_LIST_NAME}.answer IS NOT NULL AND persons.given > 0 THEN 1 ELSE 0 END"
    if has_person_column:
        # What is true of one answer of a person is true of all.
        suppressed = f"max({suppressed}) OVER (PARTITION BY person)"
        consented = f"max({consented}) OVER (PARTITION BY person)"
    return f"""\
SELECT answer, sum(people) AS people, {_SUMS_SQL}
FROM (
SELECT CASE WHEN NOT {_IS_DIGEST_SQL} THEN answer
    WHEN suppressed > 0 THEN '{SUPPRESSED}'
    WHEN consented = 0 THEN '{WITHOUT_CONSENT}'
    WHEN in_control > 0 THEN '{IN_CONTROL_GROUP}'
    ELSE answer END AS answer, CASE WHEN {_IS_DIGEST_SQL} THEN 1 ELSE 0 END AS people, {", ".join(_COUNT_COLUMNS)}
FROM (
SELECT answer, {_SUMS_SQL}, max(in_control) AS in_control, max(suppressed) AS suppressed, max(consented) AS consented
FROM (
  SELECT persons.answer, {", ".join(f"persons.{name}" for name in _COUNT_COLUMNS)}, in_control,
    {suppressed if SUPPRESS_LIST_NAME in list_tables else "0"} AS suppressed,
    {consented if CONSENT_LIST_NAME in list_tables else "1"} AS consented
  FROM ({persons}) AS persons{joins}
)
GROUP BY answer
-- a digest in unsent rows only is neither sent nor counted
HAVING sum(given) > 0
))
GROUP BY answer"""


def build_all_digests_select(query: UserQuery) -> str:
    """Return a SELECT with a row for each value of a query's single identifier column. Nobody is withheld.

    The columns are those of `build_withholding_select`, but `people` is 0: the mirror counts 1 per digest.
    """
    return f"""\
SELECT {_BARE_DIGEST_SQL} AS answer, 0 AS people, 1 AS given, {_IS_PREHASHED_SQL} AS hashed, 1 AS row_count,
  CASE WHEN length(answer) < 64 THEN 1 ELSE 0 END AS invalid_rows
FROM ({_build_single_answers_select(query)})"""


def build_list_digests_select(query: UserQuery) -> str:
    """Return a SELECT with a row for each distinct digest and each reason for rejection in a list's `query`.

    The columns `answer`, `given` and `hashed` are as in `build_withholding_select`.
    """
    of_rows = (
        _build_single_answers_select(query)
        if has_single_identifier_rows(query.columns)
        else f"SELECT answer FROM ({_build_row_answers_select(query)}) CROSS JOIN UNNEST(answers) AS of_row (answer)"
    )
    return f"""\
SELECT answer, count(*) AS given, sum(hashed) AS hashed
FROM (SELECT {_BARE_DIGEST_SQL} AS answer, {_IS_PREHASHED_SQL} AS hashed FROM ({of_rows}))
GROUP BY answer"""


def build_list_statistics_select(list_tables: Mapping[str, str]) -> str:
    """Return a SELECT with a row for each opt-out or consent list: the numbers of its digests and values.

    Columns: `list` (its name), `identifiers` (distinct digests), `valid` (values), `hashed` (values that were digests
    already), `reasons` (see `build_reasons_text_sql`). `list_tables`: as in `build_withholding_select`.
    """
    return "\nUNION ALL ".join(
        f"""\
SELECT {quote_literal(name)} AS list, count(CASE WHEN {_IS_DIGEST_SQL} THEN 1 END) AS identifiers,
  coalesce(sum(CASE WHEN {_IS_DIGEST_SQL} THEN given END), 0) AS valid, coalesce(sum(hashed), 0) AS hashed,
  {build_reasons_text_sql("answer", "given", where=f"NOT {_IS_DIGEST_SQL} AND given > 0")} AS reasons
FROM {table}"""
        for name, table in list_tables.items()
    )


def build_reasons_text_sql(reason: str, count: str, *, where: str) -> str:
    """Return SQL for a text such as `null 3, empty 1`, from the columns `reason` and `count` where `where` is true."""
    return f"""coalesce(array_join(array_agg({reason} || ' ' || cast({count} AS varchar) ORDER BY {reason})
    FILTER (WHERE {where}), ', '), '')"""


def parse_reason_counts(text: str) -> dict[str, int]:
    """Return the counts by reason in a text of `build_reasons_text_sql`."""
    return {reason: int(count) for reason, _, count in (each.rpartition(" ") for each in text.split(", ") if each)}


def _build_single_answers_select(query: UserQuery) -> str:
    (column,) = query.columns
    source = build_hashing_select(query)
    return f"SELECT coalesce(a{column.position}, '{Reason.NULL.value}') AS answer FROM (\n{source}\n)"


def _build_row_answers_select(query: UserQuery, *, extra_columns: str = "") -> str:
    """Return a SELECT of an array `answers` for each row. `extra_columns` come first, with a comma after each."""
    of_columns = " || ".join(
        f"coalesce(a{column.position}, ARRAY[])" if column.is_array else f"ARRAY[a{column.position}]"
        for column in query.columns
    )
    return f"""\
SELECT {extra_columns}CASE WHEN cardinality(found) > 0 THEN found ELSE ARRAY['{Reason.NULL.value}'] END AS answers
FROM (SELECT {extra_columns}filter({of_columns}, each -> each IS NOT NULL) AS found FROM (
{build_hashing_select(query)}
))"""


def _build_in_control_sql(control: ControlGroup | None, key_sql: str, *, condition: str = "") -> str:
    """Return SQL that is 1 if a person's key is in the control group and the `condition` (if any) holds, or else 0."""
    if control is None:
        return "0"
    required = condition and f"{condition} AND "
    number = build_control_draw_sql(key_sql, quote_literal(control.salt))
    return f"CASE WHEN {required}{number} % {CONTROL_MODULUS} < {control.share_in_ten_thousandths} THEN 1 ELSE 0 END"


def _build_person_answers_select(query: UserQuery, control: ControlGroup | None) -> str:
    """Return a SELECT with a row for each answer of each person, with the counts of `build_withholding_select`."""
    key = ""
    kept_sql = "answers"
    in_control = "0"
    if control and control.by:
        position = get_column_position(control.by, query.names)
        key = f"c{position}"
        in_control = _build_in_control_sql(control, build_column_text_sql(position))
        # Of a row without a key, only digests and addresses that may be on the list are kept, marked.
        digests = f"filter(answers, each -> length(each) >= 64 OR each = '{Reason.UNSURE.value}')"
        unsent = f"transform({digests}, each -> '{_UNSENT_ROW_MARK}' || each)"
        kept_sql = f"CASE WHEN {key} IS NULL THEN ARRAY['{Reason.NO_CONTROL_KEY.value}'] || {unsent} ELSE answers END"
    return f"""
  SELECT person, {_BARE_DIGEST_SQL} AS answer, max(in_control) AS in_control, sum(1 - {_IS_UNSENT_SQL}) AS given,
    sum({_IS_PREHASHED_SQL}) AS hashed, sum(CASE number WHEN 1 THEN 1 ELSE 0 END) AS row_count,
    sum(CASE number WHEN 1 THEN is_invalid ELSE 0 END) AS invalid_rows
  FROM (
    SELECT kept_answers, in_control, to_hex(sha256(to_utf8(array_join(kept_answers, ' ')))) AS person,
      CASE WHEN cardinality(filter(kept_answers, each -> length(each) < 64)) > 0 THEN 1 ELSE 0 END AS is_invalid
    FROM (SELECT {kept_sql} AS kept_answers, {in_control} AS in_control FROM (
{_build_row_answers_select(query, extra_columns=key and f"{key}, ")}
    ))
  ) CROSS JOIN UNNEST(kept_answers) WITH ORDINALITY AS of_person (answer, number)
  GROUP BY person, {_BARE_DIGEST_SQL}"""
