"""Quote values and names for Trino's SQL, in every statement that the operator issues."""


def quote_literal(text: str) -> str:
    """Return a text as an SQL literal. All but printable ASCII is escaped, so that no encoding can change it."""
    if text.isascii() and text.isprintable():
        return _quote(text, "'")
    return "U&" + _quote("".join(map(_escape, text)), "'")


def quote_name(name: str) -> str:
    """Return the name of a column or table in quotes. Letter case does not matter in Trino, even in quotes."""
    return _quote(name, '"')


def _quote(text: str, mark: str) -> str:
    """Return a text between two marks, with each mark inside it doubled."""
    return mark + text.replace(mark, mark * 2) + mark


def _escape(character: str) -> str:
    """Return a character as it is written in a Unicode literal of SQL, U&'…'."""
    if character == "\\":
        return r"\\"
    if character.isascii() and character.isprintable():
        return character
    code = ord(character)
    return f"\\{code:04x}" if code < 1 << 16 else f"\\+{code:06x}"
