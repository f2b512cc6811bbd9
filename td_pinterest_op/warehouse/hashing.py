r"""Trino's SQL for hashing in the warehouse, made from the tables of `records.identifiers` and `records.placeholders`.

Two forms, and tests compare both with `digest_or_reason`, value by value:

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

from td_pinterest_op.records.identifiers import MAX_EMAIL_BYTES, SEPARATORS, TRIMMED, IdentifierType, Reason
from td_pinterest_op.records.placeholders import HASHES_OF_NOTHING, PLACEHOLDERS

UNSURE = "unsure"
"""In place of a reason: the SQL cannot tell the digest of this address."""

# Capital sigma has two lower cases. The others are letters (with a case) that Unicode has since version 14, or that
# a later version may add to their block: Python, Java and the warehouse need not know the same version.
_UNSURE = r"[\x{3a3}\x{2c2f}\x{2c5f}\x{a7c0}\x{a7c1}\x{a7cb}-\x{a7dc}\x{10570}-\x{105bf}\x{10d50}-\x{10d85}]"
_DEVICE_ID = r"\A[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\z"
_ZEROS = "00000000-0000-0000-0000-000000000000"
# Printable ASCII but comma, `@` and, in a label, the full stop.
_PLAIN_EMAIL = r"\A[!-+\--?A-~]+@[!-+\-/-?A-~]+(\.[!-+\-/-?A-~]+)+\z"
_LABELS = r"\A[^@]+@[^@.]+(\.[^@.]+)+\z"
_LIST_WIDTH = 116


def safe(type_: IdentifierType) -> str:
    """The safe form for the column named like the type: its digest in hex, or the value as it is."""
    name = type_.value
    value = f"trim({name})"
    if type_ is IdentifierType.EMAIL:
        mailboxes = _listed(sorted(word for word in PLACEHOLDERS if "@" in word), indent=6)
        return f"""CASE
    WHEN length({name}) <= {MAX_EMAIL_BYTES}
      AND regexp_like({value}, '{_PLAIN_EMAIL}')
      AND lower({value}) NOT IN (
{mailboxes})
    THEN {_digest(f"lower({value})")}
    ELSE {name}
  END AS {name}"""
    normal = f"upper({value})" if type_ is IdentifierType.IDFA else f"lower({value})"
    return f"""CASE
    WHEN regexp_like({value}, '{_DEVICE_ID}')
      AND {value} <> '{_ZEROS}'
    THEN {_digest(normal)}
    ELSE {name}
  END AS {name}"""


def full(source: str, *, keep: str = "") -> str:
    """The full form: a SELECT of `type`, `value` and `answer`, a digest in hex, a reason or `UNSURE`.

    `source` is a SELECT of `type` (email, maid or idfa) and `value`; `keep` names further columns of it, each with a
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
    WHEN type = 'email' AND regexp_like(text, '{_UNSURE}') THEN '{UNSURE}'
    WHEN type = 'email' AND length(to_hex(to_utf8(lowered))) > {2 * MAX_EMAIL_BYTES} THEN '{Reason.TOO_LONG.value}'
    WHEN regexp_like(text, '{_class(SEPARATORS)}') THEN '{Reason.CONTAINS_SEPARATOR.value}'
    WHEN type = 'email' THEN CASE
      WHEN regexp_like(lowered, '{_LABELS}') THEN {_digest("lowered")}
      ELSE '{Reason.NOT_AN_EMAIL.value}' END
    WHEN NOT regexp_like(text, '{_DEVICE_ID}') THEN '{Reason.NOT_A_DEVICE_ID.value}'
    WHEN type = 'idfa' THEN {_digest("upper(text)")}
    ELSE {_digest("lowered")} END AS answer
  FROM (
    -- Python lowers a capital I with a dot to two characters, Trino to one.
    SELECT {keep}type, value, text, lower(replace(text, U&'\\0130', U&'i\\0307')) AS lowered
    FROM (
      SELECT {keep}type, value, trim(BOTH {_text(TRIMMED)} FROM value) AS text
      FROM ({source}))
  )"""


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
