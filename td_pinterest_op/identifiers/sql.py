r"""Trino's SQL for hashing in the warehouse, made from the tables in `identifiers`.

It gives a digest or a reason for every value, so that no plain identifier has to leave the warehouse. Tests compare it
with `key_or_reason`, value by value. `unsure` are addresses whose lower case depends on the version of Unicode, or on
the place of a letter in its word.

Of the hashes of nothing the SQL holds the first 128 bits: they tell these from any other digest, and a log that prints
the query shows nothing that could be a person's.

JONI, Trino's engine for regular expressions, reads `\x80` to `\xff` as bytes: every character is written as `\x{…}`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import groupby

from td_pinterest_op.identifiers.rules import HASHES_OF_NOTHING, PLACEHOLDERS, SEPARATORS, TRIMMED, Reason
from td_pinterest_op.identifiers.sql_text import quote_literal
from td_pinterest_op.identifiers.types import TYPES, IdentifierType, Sql

HASHED_MARK = "="
"""In front of a digest that was one before, where a statement tells it from one of a plain value."""
_LIST_WIDTH = 116


def full(source: str, *, keep: str = "") -> str:
    """Return a SELECT of `type`, `value` and `answer`: a digest in hex, or a reason.

    `source` is a SELECT of `type`, the name of one, and `value`; `keep` names further columns of it, each with a
    comma behind.
    """
    return f"""SELECT {keep}type, value, coalesce({answer([type_ for type_ in TYPES.values() if type_.sql])},
    '{Reason.NULL.value}') AS answer
  FROM (
    SELECT {keep}type, value, text, {lowered("text")} AS lowered
    FROM (
      SELECT {keep}type, value, {trimmed("value")} AS text
      FROM ({source}))
  )"""


def trimmed(value: str) -> str:
    """Return the SQL of a value without white space and invisible characters at both ends."""
    return f"trim(BOTH {quote_literal(''.join(sorted(TRIMMED)))} FROM {value})"


def lowered(text: str) -> str:
    """Return the SQL of a text in lower case: Python lowers a capital I with a dot to two characters, Trino to one."""
    return f"lower(replace({text}, {quote_literal(chr(0x130))}, {quote_literal('i' + chr(0x307))}))"


def salted_number(key: str, salt: str) -> str:
    """Return the SQL of a person's number, by which a control group is chosen; see `withholding.people.in_control`.

    `key` and `salt` are SQL of text.
    """
    return f"from_base(substr(to_hex(sha256(to_utf8({salt} || chr(10) || {key}))), 1, 8), 16)"


def answer(types: Collection[IdentifierType], *, text: str = "text", lowered: str = "lowered", mark: str = "") -> str:
    """Return the SQL of a value's digest in hex, or of the reason for its rejection; NULL for a NULL.

    `text` is SQL of the trimmed value, and `lowered` of that in lower case. Of several types, the column `type` has the
    one that a value is of. A digest that the value itself is gets `mark` in front.
    """
    digest = f"'{mark}' || {lowered}" if mark else lowered
    return f"""CASE
    WHEN {text} IS NULL THEN NULL
    WHEN from_utf8(to_utf8({text})) <> {text} THEN '{Reason.BAD_ENCODING.value}'
    WHEN {text} = '' THEN '{Reason.EMPTY.value}'
    WHEN {lowered} IN (
{_listed(sorted(PLACEHOLDERS), indent=6)}) THEN '{Reason.PLACEHOLDER.value}'
    WHEN regexp_like({text}, '\\A[0-9A-Fa-f]{{64}}\\z') THEN CASE
      WHEN substr({lowered}, 1, 32) IN (
{_listed(sorted(digest.hex()[:32] for digest in HASHES_OF_NOTHING), indent=8)}) THEN '{Reason.HASH_OF_NOTHING.value}'
      ELSE {digest} END
    WHEN regexp_like({text}, '\\A([0-9A-Fa-f]{{32}}|[0-9A-Fa-f]{{40}})\\z') THEN '{Reason.UNSUPPORTED_HASH.value}'
{_cases(types, text, lowered)} END"""


def _cases(types: Collection[IdentifierType], text: str, lowered: str) -> str:
    """The conditions of the types, in the order of Python's."""
    judged = [(f"type = '{type_.name}' AND " if len(types) > 1 else "", type_.sql) for type_ in types if type_.sql]
    separators = f"regexp_like($text, '{_class(SEPARATORS)}')"
    cases = [
        *_rejections((of_type, sql.flaws) for of_type, sql in judged),
        f"    WHEN {separators} THEN '{Reason.CONTAINS_SEPARATOR.value}'",
        *_rejections((of_type, sql.form) for of_type, sql in judged),
        *(f"    WHEN {of_type.removesuffix(' AND ')} THEN {_digest(sql)}" for of_type, sql in judged[:-1]),
        f"    ELSE {_digest(judged[-1][1])}",
    ]
    return "\n".join(cases).replace("$text", text).replace("$lowered", lowered)


def _rejections(of_types: Iterable[tuple[str, Iterable[tuple[str, Reason]]]]) -> Iterator[str]:
    for of_type, conditions in of_types:
        for condition, reason in conditions:
            yield f"    WHEN {of_type}{condition} THEN '{reason.value}'"


def _digest(sql: Sql) -> str:
    return f"lower(to_hex(sha256(to_utf8({sql.normal}))))"


def _listed(values: Iterable[str], *, indent: int) -> str:
    """Literals, several a line."""
    lines, margin = [" " * indent], " " * indent
    for literal in map(quote_literal, values):
        if len(lines[-1]) + len(literal) > _LIST_WIDTH:
            lines[-1] = lines[-1].rstrip()
            lines.append(margin)
        lines[-1] += f"{literal}, "
    return "\n".join(lines).removesuffix(", ")


def _class(characters: str) -> str:
    """A class of a regular expression, neighbours as ranges."""
    codes = sorted(set(map(ord, characters)))
    runs = [[code for _, code in run] for _, run in groupby(enumerate(codes), key=lambda each: each[1] - each[0])]
    parts = [f"\\x{{{run[0]:x}}}" + (f"-\\x{{{run[-1]:x}}}" if len(run) > 1 else "") for run in runs]
    return f"[{''.join(parts)}]"
