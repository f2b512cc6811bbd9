r"""Trino's SQL for hashing in the warehouse, made from the tables in `identifiers`.

Two forms, and tests compare both with `key_or_reason`, value by value:

safe   hashes what is plainly good, and hands every other value on as it is, for the operator to judge.
full   gives a digest or a reason for every value, so that no plain identifier has to leave the warehouse. `UNSURE` are
       addresses whose lower case depends on the version of Unicode, or on the place of a letter in its word.

Of the hashes of nothing the SQL holds the first 128 bits: they tell these from any other digest, and a log that prints
the query shows nothing that could be a person's.

JONI, Trino's engine for regular expressions, reads `\x80` to `\xff` as bytes: every character is written as `\x{…}`.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import cast

from td_pinterest_op.identifiers.rules import HASHES_OF_NOTHING, PLACEHOLDERS, SEPARATORS, TRIMMED, Reason
from td_pinterest_op.identifiers.types import TYPES, IdentifierType, Sql

_LIST_WIDTH = 116


def safe(type_: IdentifierType) -> str:
    """The safe form for the column named like the type, which has SQL: its digest in hex, or the value as it is."""
    name, value, sql = type_.name, f"trim({type_.name})", cast("Sql", type_.sql)
    # Placeholders that have the form of a good value.
    placeholders = [word for word in sorted(PLACEHOLDERS) if not isinstance(type_.normalise(word, None), Reason)]
    return f"""CASE
    WHEN {sql.plain.format(name=name, value=value)}
      AND lower({value}) NOT IN (
{_listed(placeholders, indent=6)})
    THEN {_digest(f"{sql.case}({value})")}
    ELSE {name}
  END AS {name}"""


def full(source: str, *, keep: str = "") -> str:
    """The full form: a SELECT of `type`, `value` and `answer`, a digest in hex, a reason or `UNSURE`.

    `source` is a SELECT of `type`, the name of one, and `value`; `keep` names further columns of it, each with a
    comma behind.
    """
    return f"""SELECT {keep}type, value, CASE
    WHEN value IS NULL THEN '{Reason.NULL.value}'
    WHEN text = '' THEN '{Reason.EMPTY.value}'
    WHEN lowered IN (
{_listed(sorted(PLACEHOLDERS), indent=6)}) THEN '{Reason.PLACEHOLDER.value}'
    WHEN regexp_like(text, '\\A[0-9A-Fa-f]{{64}}\\z') THEN CASE
      WHEN substr(lowered, 1, 32) IN (
{_listed(sorted(digest.hex()[:32] for digest in HASHES_OF_NOTHING), indent=8)}) THEN '{Reason.HASH_OF_NOTHING.value}'
      ELSE lowered END
    WHEN regexp_like(text, '\\A([0-9A-Fa-f]{{32}}|[0-9A-Fa-f]{{40}})\\z') THEN '{Reason.UNSUPPORTED_HASH.value}'
{_flaws()}
    WHEN regexp_like(text, '{_class(SEPARATORS)}') THEN '{Reason.CONTAINS_SEPARATOR.value}'
{_forms()} END AS answer
  FROM (
    -- Python lowers a capital I with a dot to two characters, Trino to one.
    SELECT {keep}type, value, text, lower(replace(text, U&'\\0130', U&'i\\0307')) AS lowered
    FROM (
      SELECT {keep}type, value, trim(BOTH {_text(TRIMMED)} FROM value) AS text
      FROM ({source}))
  )"""


def _flaws() -> str:
    return "\n".join(
        f"    WHEN type = '{type_.name}' AND {condition} THEN '{reason}'"
        for type_ in TYPES.values()
        for condition, reason in (type_.sql.flaws if type_.sql else ())
    )


def _forms() -> str:
    return "\n".join(
        f"    WHEN type = '{type_.name}' THEN CASE\n      WHEN {type_.sql.well_formed} "
        f"THEN {_digest('lowered' if type_.sql.case == 'lower' else f'{type_.sql.case}(text)')}\n"
        f"      ELSE '{type_.sql.otherwise.value}' END"
        for type_ in TYPES.values()
        if type_.sql
    )


def _digest(normal: str) -> str:
    return f"lower(to_hex(sha256(to_utf8({normal}))))"


def _listed(values: Iterable[str], *, indent: int) -> str:
    """Literals, several a line."""
    lines, margin = [" " * indent], " " * indent
    for literal in [f"'{value}'" for value in values]:
        if len(lines[-1]) + len(literal) > _LIST_WIDTH:
            lines[-1] = lines[-1].rstrip()
            lines.append(margin)
        lines[-1] += f"{literal}, "
    return "\n".join(lines).removesuffix(", ")


def _text(characters: str) -> str:
    return "U&'" + "".join(f"\\{ord(character):04x}" for character in sorted(characters)) + "'"


def _class(characters: str) -> str:
    """A class of a regular expression, neighbours as ranges."""
    codes = sorted(set(map(ord, characters)))
    runs = [[code for _, code in run] for _, run in groupby(enumerate(codes), key=lambda each: each[1] - each[0])]
    parts = [f"\\x{{{run[0]:x}}}" + (f"-\\x{{{run[-1]:x}}}" if len(run) > 1 else "") for run in runs]
    return f"[{''.join(parts)}]"
