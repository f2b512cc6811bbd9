"""Rules for the SQL of users: a query, and only one."""

import re

from td_pinterest_op.errors import SettingsError

HASHING_ENGINES = ("presto", "trino")
_SQL_PIECE_PATTERN = re.compile(r"""'[^']*'|"[^"]*"|`[^`]*`|--[^\r\n]*|/\*.*?(?:\*/|\Z)|;|[^'"`/;-]+|.""", re.DOTALL)
_HIVE_ESCAPE_PATTERN = re.compile(r"""\\['"\\]""")
_HIVE_SET_PATTERN = re.compile(r"\A(?:\s*set\s[^;]*;)+", re.IGNORECASE)
_QUERY_BEGINNING_PATTERN = re.compile(r"[\s(]*(?:select|with|values|table)\b", re.IGNORECASE)
_FORBIDDEN_INSERT_PATTERN = re.compile(r"\binsert\b", re.IGNORECASE)  # a reserved word in all engines


def require_one_statement(query: str, *, name: str = "query") -> str:
    """Return the only statement of `query`, without its final semicolon. Raises SettingsError if there are several."""
    pieces: list[str] = _SQL_PIECE_PATTERN.findall(query)
    end = pieces.index(";") if ";" in pieces else len(pieces)
    if any(not piece.isspace() and not piece.startswith((";", "--", "/*")) for piece in pieces[end:]):
        raise SettingsError(
            f"{name} has several statements, but only the result of one can be used: write one, with UNION ALL where "
            "the rows of several are needed",
            key=name,
        )
    return "".join(pieces[:end]).strip()


def require_query(sql: str, *, name: str, engine: str) -> None:
    """Raise SettingsError unless `sql` is a single query, in Hive after statements that SET: it must change nothing."""
    is_hive = engine not in HASHING_ENGINES
    pieces = _SQL_PIECE_PATTERN.findall(_HIVE_ESCAPE_PATTERN.sub(" ", sql) if is_hive else sql)
    # Without comments, and with nothing in quotes.
    bare = "".join(" " if piece.startswith(("--", "/*")) else "''" if piece[0] in "'\"`" else piece for piece in pieces)
    if is_hive:
        bare = _HIVE_SET_PATTERN.sub("", bare, count=1)
    require_one_statement(bare, name=name)
    if not _QUERY_BEGINNING_PATTERN.match(bare) or _FORBIDDEN_INSERT_PATTERN.search(bare):
        raise SettingsError(
            f"{name} is no query, so it is not issued: begin it with SELECT, WITH, VALUES or TABLE, in Hive after SET, "
            "and insert nothing",
            key=name,
        )
