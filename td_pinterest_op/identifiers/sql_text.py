"""Values and names as Trino's SQL writes them: every statement that the operator issues quotes by these functions."""

from __future__ import annotations


def quote_literal(text: str) -> str:
    """Return a literal of this text. What is not printable ASCII is escaped, so that no encoding can change it."""
    if text.isascii() and text.isprintable():
        return _quoted(text, "'")
    return "U&" + _quoted("".join(map(_escaped, text)), "'")


def quote_name(name: str) -> str:
    """Return the name of a column or a table, in quotes (in Trino, case does not matter in them either)."""
    return _quoted(name, '"')


def _quoted(text: str, mark: str) -> str:
    return mark + text.replace(mark, mark * 2) + mark


def _escaped(character: str) -> str:
    if character == "\\":
        return r"\\"
    if character.isascii() and character.isprintable():
        return character
    code = ord(character)
    return f"\\{code:04x}" if code < 1 << 16 else f"\\+{code:06x}"
