r"""SQL for Trino: literals, names, and the hashing of identifiers, so that plain ones need not leave the warehouse.

Tests compare it with `compute_identifier`, value by value. It contains the first 128 bits of hashes of empty values and
placeholders: that is enough to recognise them, and a log that prints the query shows nothing that could be a person's.

JONI, Trino's engine for regular expressions, reads `\x80` to `\xff` as bytes: every character is written as `\x{…}`.
"""

import textwrap
from collections.abc import Iterable
from itertools import groupby
from string import Template

from td_pinterest_op.identifiers.identifier_types import (
    HASHES_OF_NOTHING,
    PLACEHOLDERS,
    SEPARATORS,
    TRIMMED,
    IdentifierType,
)
from td_pinterest_op.identifiers.reasons import Reason

HASHED_MARK = "="
"""The prefix of the digest of a value that was hashed already."""
_LIST_WIDTH = 117


def quote_literal(text: str) -> str:
    """Return a text as an SQL literal. All but printable ASCII is escaped, so that no encoding can change the text."""
    text, prefix = text.replace("'", "''"), ""
    if not (text.isascii() and text.isprintable()):
        text, prefix = "".join(map(_escape_for_literal, text)), "U&"
    return f"{prefix}'{text}'"


def quote_name(name: str) -> str:
    """Return the name of a column or table in quotes. Letter case does not matter in Trino, even in quotes."""
    return '"' + name.replace('"', '""') + '"'


def _escape_for_literal(character: str) -> str:
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
    """Return SQL for the lower case of the SQL expression `text`. As in Python, "İ" becomes two characters."""
    return f"lower(replace({text}, {quote_literal(chr(0x130))}, {quote_literal('i' + chr(0x307))}))"


def build_control_number_sql(key: str, salt: str) -> str:
    """Return SQL for the number that decides whether a person is in the control group. `key` and `salt`: SQL.

    The number is a hash of the person's key. `assign_control` computes the same number.
    """
    return f"from_base(substr(to_hex(sha256(to_utf8({salt} || chr(10) || {key}))), 1, 8), 16)"


def build_hashing_sql(type_: IdentifierType, *, text_sql: str, lowered_sql: str) -> str:
    """Return an SQL expression that gives a value's digest in hex, or the reason why the value is rejected.

    HASHED_MARK precedes the digest of a value that was hashed already. `text_sql`: SQL for the trimmed value.
    `lowered_sql`: SQL for the same in lower case. They are inserted for `$text` and `$lowered` in the SQL of the type.
    """
    hashes_of_nothing = sorted(digest.hex()[:32] for digest in HASHES_OF_NOTHING)
    cases = "".join(f"\n    WHEN {condition} THEN '{reason.value}'" for condition, reason in type_.sql_rejections)
    of_type = Template(f"{cases}\n    ELSE lower(to_hex(sha256(to_utf8({type_.sql_normal})))) END")
    return f"""CASE
    WHEN {text_sql} IS NULL THEN NULL
    WHEN from_utf8(to_utf8({text_sql})) <> {text_sql} THEN '{Reason.BAD_ENCODING.value}'
    WHEN {text_sql} = '' THEN '{Reason.EMPTY.value}'
    WHEN {lowered_sql} IN (
{_format_literals(sorted(PLACEHOLDERS), indent=6)}) THEN '{Reason.PLACEHOLDER.value}'
    WHEN regexp_like({text_sql}, '\\A[0-9A-Fa-f]{{64}}\\z') THEN CASE
      WHEN substr({lowered_sql}, 1, 32) IN (
{_format_literals(hashes_of_nothing, indent=8)}) THEN '{Reason.HASH_OF_NOTHING.value}'
      ELSE '{HASHED_MARK}' || {lowered_sql} END
    WHEN regexp_like({text_sql}, '\\A([0-9A-Fa-f]{{32}}|[0-9A-Fa-f]{{40}})\\z') THEN '{Reason.UNSUPPORTED_HASH.value}'\
{of_type.substitute(text=text_sql, lowered=lowered_sql, separators=_build_character_class(SEPARATORS))}"""


def _format_literals(values: Iterable[str], *, indent: int) -> str:
    """Return the SQL of a list of text literals, wrapped and indented."""
    text = ", ".join(map(quote_literal, values))
    return textwrap.indent(textwrap.fill(text, _LIST_WIDTH - indent, break_on_hyphens=False), " " * indent)


def _build_character_class(characters: str) -> str:
    """Return a character class of all `characters` for a regular expression. Consecutive characters become a range."""
    codes = sorted(set(map(ord, characters)))
    runs = [[code for _, code in run] for _, run in groupby(enumerate(codes), key=lambda each: each[1] - each[0])]
    parts = [f"\\x{{{run[0]:x}}}" + (f"-\\x{{{run[-1]:x}}}" if len(run) > 1 else "") for run in runs]
    return f"[{''.join(parts)}]"
