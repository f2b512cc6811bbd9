"""Quote texts and names for the SQL of Treasure Data's engines."""

import re


def quote_literal(text: str) -> str:
    """Return a text as an SQL literal. All but printable ASCII is escaped: no encoding can change the text."""
    text = text.replace("'", "''")
    if text.isascii() and text.isprintable():
        return f"'{text}'"
    escaped = re.sub(r"[^ -~]|\\", lambda match: f"\\+{ord(match[0]):06x}", text)
    return f"U&'{escaped}'"


def quote_name(name: str) -> str:
    """Return a name in double quotes. Letter case does not matter in Trino, even in quotes."""
    return '"' + name.replace('"', '""') + '"'
