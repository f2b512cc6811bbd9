r"""Trino's SQL: literals and names, and hashing in the warehouse, made from the tables in `identifiers`.

It computes a digest or a reason for every value, so that no plain identifier has to leave the warehouse. Tests compare
it with `compute_key`, value by value. `unsure` are addresses whose lower case depends on the version of Unicode, or
on the place of a letter in its word.

The SQL has the first 128 bits of the hashes of nothing: that is enough to recognise them, and a log that prints the
query shows nothing that could be a person's.

JONI, Trino's engine for regular expressions, reads `\x80` to `\xff` as bytes: every character is written as `\x{…}`.
"""

import textwrap
from collections.abc import Iterable
from itertools import groupby
from typing import cast

from td_pinterest_op.identifiers.rules import HASHES_OF_NOTHING, PLACEHOLDERS, SEPARATORS, TRIMMED, Reason
from td_pinterest_op.identifiers.types import IdentifierType, SqlRules

HASHED_MARK = "="
"""In front of the digest of a value that was hashed already, where a statement has to tell it from others."""
_LIST_WIDTH = 117


def quote_literal(text: str) -> str:
    """Return a text as an SQL literal. All but printable ASCII is escaped, so that no encoding can change the text."""
    if text.isascii() and text.isprintable():
        return _quote(text, "'")
    return "U&" + _quote("".join(map(_escape, text)), "'")


def quote_name(name: str) -> str:
    """Return the name of a column or table in quotes. Letter case does not matter in Trino, even in quotes."""
    return _quote(name, '"')


def _quote(text: str, mark: str) -> str:
    """Return a text between two quotation marks, with each such mark inside the text doubled."""
    return mark + text.replace(mark, mark * 2) + mark


def _escape(character: str) -> str:
    """Return a character as it is written in an SQL literal of the form U&'…'."""
    if character == "\\":
        return r"\\"
    if character.isascii() and character.isprintable():
        return character
    code = ord(character)
    return f"\\{code:04x}" if code < 1 << 16 else f"\\+{code:06x}"


def build_trim_sql(value: str) -> str:
    """Return the SQL that removes white space and invisible characters from both ends of `value`, itself SQL."""
    return f"trim(BOTH {quote_literal(''.join(sorted(TRIMMED)))} FROM {value})"


def build_lower_sql(text: str) -> str:
    """Return the SQL that puts `text`, itself SQL, into lower case as Python does: "İ" becomes two characters."""
    return f"lower(replace({text}, {quote_literal(chr(0x130))}, {quote_literal('i' + chr(0x307))}))"


def build_control_number_sql(key: str, salt: str) -> str:
    """Return the SQL of the number that puts a person in the control group or not, from the SQL of a key and a salt.

    `withholding.people.assign_control` computes the same.
    """
    return f"from_base(substr(to_hex(sha256(to_utf8({salt} || chr(10) || {key}))), 1, 8), 16)"


def build_hashing_sql(type_: IdentifierType, *, text: str, lowered: str, hashed_mark: str = "") -> str:
    """Return the SQL that turns an identifier into its digest in hex, or into the reason for its rejection.

    `text` is SQL of the trimmed value, `lowered` of the same in lower case. A value that is a digest gets
    `hashed_mark` in front. The type must have SQL.
    """
    sql = cast("SqlRules", type_.sql)
    digest = f"'{hashed_mark}' || {lowered}" if hashed_mark else lowered
    flaws, form = (
        "".join(f"\n    WHEN {condition} THEN '{reason.value}'" for condition, reason in conditions)
        for conditions in (sql.flaws, sql.form)
    )
    hashes_of_nothing = sorted(digest.hex()[:32] for digest in HASHES_OF_NOTHING)
    of_type = f"""{flaws}
    WHEN regexp_like($text, '{_build_character_class(SEPARATORS)}') THEN '{Reason.CONTAINS_SEPARATOR.value}'{form}
    ELSE lower(to_hex(sha256(to_utf8({sql.normal})))) END"""
    return f"""CASE
    WHEN {text} IS NULL THEN NULL
    WHEN from_utf8(to_utf8({text})) <> {text} THEN '{Reason.BAD_ENCODING.value}'
    WHEN {text} = '' THEN '{Reason.EMPTY.value}'
    WHEN {lowered} IN (
{_format_literals(sorted(PLACEHOLDERS), indent=6)}) THEN '{Reason.PLACEHOLDER.value}'
    WHEN regexp_like({text}, '\\A[0-9A-Fa-f]{{64}}\\z') THEN CASE
      WHEN substr({lowered}, 1, 32) IN (
{_format_literals(hashes_of_nothing, indent=8)}) THEN '{Reason.HASH_OF_NOTHING.value}'
      ELSE {digest} END
    WHEN regexp_like({text}, '\\A([0-9A-Fa-f]{{32}}|[0-9A-Fa-f]{{40}})\\z') THEN '{Reason.UNSUPPORTED_HASH.value}'\
{of_type.replace("$text", text).replace("$lowered", lowered)}"""


def _format_literals(values: Iterable[str], *, indent: int) -> str:
    """Return values as SQL literals, separated by commas, on indented lines of limited length."""
    text = ", ".join(map(quote_literal, values))
    return textwrap.indent(textwrap.fill(text, _LIST_WIDTH - indent, break_on_hyphens=False), " " * indent)


def _build_character_class(characters: str) -> str:
    """Return a regular expression's character class of these characters, with a range for consecutive ones."""
    codes = sorted(set(map(ord, characters)))
    runs = [[code for _, code in run] for _, run in groupby(enumerate(codes), key=lambda each: each[1] - each[0])]
    parts = [f"\\x{{{run[0]:x}}}" + (f"-\\x{{{run[-1]:x}}}" if len(run) > 1 else "") for run in runs]
    return f"[{''.join(parts)}]"
