r"""SQL for Trino that hashes identifiers, so that plain ones need not leave the warehouse.

Tests compare it with `compute_identifier`, value by value. It contains the first 128 bits of hashes of empty values and
placeholders: that is enough to recognise them, and a log that prints the query shows nothing that could be a person's.

JONI, Trino's engine for regular expressions, reads `\x80` to `\xff` as bytes: every character is written as `\x{…}`.
"""

import textwrap
from collections.abc import Iterable
from string import Template

from td_pinterest_op.identifiers.identifier_types import (
    HASHES_OF_NOTHING,
    PLACEHOLDERS,
    SEPARATOR_CHARACTERS,
    TRIMMED_CHARACTERS,
    IdentifierType,
)
from td_pinterest_op.identifiers.reasons import Reason
from td_pinterest_op.records.digests import PREHASHED_DIGEST_PREFIX
from td_pinterest_op.treasure_data.quoting import quote_literal


def build_trim_sql(value: str) -> str:
    """Return SQL that removes white space and invisible characters from both ends of the SQL expression `value`."""
    return f"trim(BOTH {quote_literal(''.join(sorted(TRIMMED_CHARACTERS)))} FROM {value})"


def build_lower_sql(text: str) -> str:
    """Return SQL for the lower case of the SQL expression `text`. As in Python, "İ" becomes two characters."""
    return f"lower(replace({text}, {quote_literal(chr(0x130))}, {quote_literal('i' + chr(0x307))}))"


def build_control_draw_sql(key: str, salt: str) -> str:
    """Return SQL for the number that decides about the control group, as in `assign_control`. `key`, `salt`: SQL."""
    return f"from_base(substr(to_hex(sha256(to_utf8({salt} || chr(10) || {key}))), 1, 8), 16)"


def build_hashing_sql(type_: IdentifierType, *, text_sql: str, lowered_sql: str) -> str:
    """Return SQL for a value's digest in hex, the reason why the value is rejected, or NULL.

    PREHASHED_DIGEST_PREFIX precedes the digest of a value that was hashed already. `text_sql`, `lowered_sql`: SQL for
    the trimmed value, and for its lower case. They replace `$text` and `$lowered` in the SQL of the type.
    """
    hashes_of_nothing = _format_literals(digest.hex()[:32] for digest in HASHES_OF_NOTHING)
    separators = "".join(f"\\x{{{ord(character):x}}}" for character in sorted(SEPARATOR_CHARACTERS))
    cases = "".join(f"\n    WHEN {condition} THEN '{reason.value}'" for condition, reason in type_.sql_rejections)
    of_type = Template(f"{cases}\n    ELSE lower(to_hex(sha256(to_utf8({type_.sql_normal})))) END")
    return f"""CASE
    WHEN {text_sql} IS NULL THEN NULL
    WHEN from_utf8(to_utf8({text_sql})) <> {text_sql} THEN '{Reason.BAD_ENCODING.value}'
    WHEN {text_sql} = '' THEN '{Reason.EMPTY.value}'
    WHEN {lowered_sql} IN (
{_format_literals(PLACEHOLDERS)}) THEN '{Reason.PLACEHOLDER.value}'
    WHEN regexp_like({text_sql}, '\\A[0-9A-Fa-f]{{64}}\\z') THEN CASE
      WHEN substr({lowered_sql}, 1, 32) IN (
{hashes_of_nothing}) THEN '{Reason.HASH_OF_NOTHING.value}'
      ELSE '{PREHASHED_DIGEST_PREFIX}' || {lowered_sql} END
    WHEN regexp_like({text_sql}, '\\A([0-9A-Fa-f]{{32}}|[0-9A-Fa-f]{{40}})\\z') THEN '{Reason.UNSUPPORTED_HASH.value}'\
{of_type.substitute(text=text_sql, lowered=lowered_sql, separators=f"[{separators}]")}"""


def _format_literals(values: Iterable[str]) -> str:
    return textwrap.fill(", ".join(map(quote_literal, sorted(values))), 110, break_on_hyphens=False)
