"""Trino's SQL of whom the mirror withholds: opt-outs, consents and a control group, by the rules of `withholding`.

A person is a row of the people's table, known here by a hash of its values: rows that hold the same decide the same.
`pinterest_persons_…` has a row for each person and identifier (or reason of rejection), `pinterest_listed_…` for each
list and identifier. The mirror goes on with `pinterest_digests_…`, as it does when nobody is withheld.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from td_pinterest_op.identifiers.sql import full
from td_pinterest_op.identifiers.types import LISTED, UNSURE
from td_pinterest_op.settings.structures import Control
from td_pinterest_op.stats import CONTROL, SUPPRESSED, WITHOUT_CONSENT

LISTS = ("suppressed", "consented")
_SHARES = 10_000
# The values of a row with their lengths: no other row has the same text.
_WHOLE = "\n                || ".join(
    f"coalesce(cast(length({value}) AS varchar) || ' ' || {value}, '-')"
    for value in (f"${{pinterest_mirror.columns.{name}}}" for name in LISTED)
)


def values_of(table: str, columns: str, *, keep: str = "", kept: str = "") -> str:
    """A SELECT of `type` and `value`, a row for each identifier of a row, and one of NULL for a row without any.

    `columns` is the parameter with each type's SQL. `kept` is SQL of further columns, whose names are in `keep`; both
    have a comma behind each.
    """
    first, *others = LISTED
    cases = " ".join(f"WHEN '{name}' THEN {name}" for name in LISTED)
    selected = ",\n              ".join(f"${{{columns}.{name}}} AS {name}" for name in LISTED)
    return f"""
        SELECT {keep}type, value FROM (
          SELECT {keep}type, {", ".join(LISTED)},
            CASE type {cases} END AS value
          FROM (
            SELECT {kept}{selected}
            FROM {table}
          ) CROSS JOIN (VALUES {", ".join(f"('{name}')" for name in LISTED)}) AS types (type))
        WHERE value IS NOT NULL OR (type = '{first}' AND coalesce({", ".join(others)}) IS NULL)"""


def columns_of(types: Sequence[str], *, key: str | None = None) -> Mapping[str, str]:
    """Each type's SQL in a table with columns of these names; a row whose `key` (SQL) is NULL has no values."""
    null = "CAST(NULL AS varchar)"
    return {
        name: null if name not in types else f'CASE WHEN {key} IS NOT NULL THEN "{name}" END' if key else f'"{name}"'
        for name in LISTED
    }


def control_of(control: Control | None, key: str | None) -> Mapping[str, object]:
    """What the SQL needs of a control group; `key` is the SQL of a person's key, None where it is the digest.

    The salt is in hex: it could hold anything.
    """
    return {
        "share": control.of_ten_thousand if control else 0,
        "salt": (control.salt.encode() + b"\n").hex() if control else "",
        "key": f"CAST({key} AS varchar)" if key else "CAST(NULL AS varchar)",
    }


def counted_by(reason: str, amount: str, *, where: str) -> str:
    """The reasons of the rows, each with its amount, as one text: `null 3, empty 1`; empty without any."""
    return f"""coalesce(array_join(array_agg({reason} || ' ' || cast({amount} AS varchar) ORDER BY {reason})
      FILTER (WHERE {where}), ', '), '')"""


FILES: dict[str, str] = {}
"""The text of each query, by file name."""

FILES["mirror_nobody.sql"] = """\
-- In place of a list that is not switched on.
SELECT cast(NULL AS varchar) AS email WHERE 1 = 0
"""

_VALUES = values_of(
    "pinterest_people_${mirror_stage}",
    "pinterest_mirror.columns",
    keep="person, key, ",
    kept=f"""to_hex(sha256(to_utf8(
                {_WHOLE}))) AS person,
              ${{pinterest_mirror.control.key}} AS key,
              """,
)
_NUMBER = """from_base(substr(to_hex(sha256(
      from_hex('${pinterest_mirror.control.salt}') || to_utf8(coalesce(key, answer)))), 1, 8), 16)"""

FILES["mirror_persons.sql"] = f"""\
-- The identifiers of each person of the day as digests or reasons, and who is in the control group.
SELECT person, answer, max(in_control) AS in_control, count(*) AS amount FROM (
  SELECT person, answer, CASE
    WHEN ${{pinterest_mirror.control.share}} > 0
      AND {_NUMBER} % {_SHARES} < ${{pinterest_mirror.control.share}} THEN 1
    ELSE 0 END AS in_control
  FROM (
{full(_VALUES, keep="person, key, ")}
))
GROUP BY person, answer
"""

_OF_LISTS = "\n        UNION ALL".join(
    f"""
        SELECT '{name}' AS list, type, value FROM (
        {values_of(f"pinterest_{name}_${{mirror_stage}}", f"pinterest_mirror.{name}").strip()})"""
    for name in LISTS
)

FILES["mirror_listed.sql"] = f"""\
-- Who is on a list, as digests; and how often each reason occurs for which a value is no identifier.
SELECT list, answer, count(*) AS amount FROM (
{full(_OF_LISTS, keep="list, ")}
)
GROUP BY list, answer
"""


def _holds_nobody(name: str, cure: str) -> str:
    return (
        f"'queries/{name}.sql ' || CASE {name}_reasons WHEN '' THEN 'has no rows'\n"
        f"        ELSE 'holds no identifier (' || {name}_reasons || ')' END\n"
        f"      || '. Nothing was sent. Correct it{cure}'"
    )


_COUNTS = ",".join(
    f"""
    coalesce(sum(CASE WHEN list = '{name}' AND length(answer) = 64 THEN 1 END), 0) AS {name},
    {counted_by("answer", "amount", where=f"list = '{name}' AND length(answer) < 64")} AS {name}_reasons"""
    for name in LISTS
)

FILES["mirror_lists.sql"] = f"""\
-- How many identifiers each list holds, and `problem`, which stops the mirror; empty for none.
SELECT suppressed, consented, suppressed_reasons, consented_reasons, CASE
    WHEN ${{mirror_suppressed}} AND suppressed = 0 AND NOT ${{String(mirror.allow_empty_suppress) === "true"}} THEN
      {_holds_nobody("suppressed", ", or set allow_empty_suppress: true in config/mirror.yml if nobody has opted out")}
    WHEN ${{mirror_consented}} AND consented = 0 THEN
      {_holds_nobody("consented", "")}
    WHEN suppressed_unsure > 0 THEN
      'queries/suppressed.sql holds ' || cast(suppressed_unsure AS varchar) || ' addresses that are unsure: the '
      || 'warehouse cannot hash them, and would not find these people. Nothing was sent. Put the SHA-256 of such an '
      || 'address in lower case in its place'
    ELSE '' END AS problem
FROM (
  SELECT coalesce(sum(CASE WHEN list = 'suppressed' AND answer = '{UNSURE}' THEN amount END), 0)
      AS suppressed_unsure,{_COUNTS}
  FROM pinterest_listed_${{mirror_stage}})
"""

# A person is suppressed who has an address that cannot be compared: it may stand on the list as a hash.
FILES["mirror_withheld.sql"] = f"""\
-- Whom the day sends, as digests; and how often each reason occurs for which one is not sent.
SELECT answer, sum(amount) AS amount
FROM (
  SELECT coalesce(reason, answer) AS answer, CASE WHEN reason IS NULL THEN amount ELSE 1 END AS amount
  FROM (
    SELECT answer, amount, CASE
        WHEN length(answer) < 64 THEN NULL
        WHEN suppressed > 0 THEN '{SUPPRESSED}'
        WHEN consented = 0 THEN '{WITHOUT_CONSENT}'
        WHEN in_control > 0 THEN '{CONTROL}' END AS reason
    FROM (
      SELECT answer, sum(amount) AS amount, max(in_control) AS in_control, max(suppressed) AS suppressed,
        max(consented) AS consented
      FROM (
        SELECT answer, amount, in_control, max(suppressed) OVER (PARTITION BY person) AS suppressed,
          max(consented) OVER (PARTITION BY person) AS consented
        FROM (
          SELECT person, persons.answer, amount, in_control,
            CASE WHEN ${{mirror_suppressed}} AND persons.answer = '{UNSURE}' THEN 1 ELSE coalesce(suppressed, 0) END
              AS suppressed,
            CASE WHEN ${{mirror_consented}} THEN coalesce(consented, 0) ELSE 1 END AS consented
          FROM pinterest_persons_${{mirror_stage}} AS persons
          LEFT JOIN (
            SELECT answer AS digest, max(CASE list WHEN 'suppressed' THEN 1 ELSE 0 END) AS suppressed,
              max(CASE list WHEN 'consented' THEN 1 ELSE 0 END) AS consented
            FROM pinterest_listed_${{mirror_stage}}
            WHERE length(answer) = 64
            GROUP BY answer) AS listed ON listed.digest = persons.answer))
      GROUP BY answer)))
GROUP BY answer
"""
