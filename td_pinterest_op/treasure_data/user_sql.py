"""Rules for the SQL of users: a query, and only one."""

import re
from collections.abc import Iterable

from td_pinterest_op.errors import SettingsError

HASHING_ENGINES = ("presto", "trino")
_SQL_PIECE_PATTERN = re.compile(r"""'[^']*'|"[^"]*"|`[^`]*`|--[^\r\n]*|/\*.*?(?:\*/|\Z)|;|[^'"`/;-]+|.""", re.DOTALL)
_HIVE_PIECE_PATTERN = re.compile(
    r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`[^`]*`|--[^\r\n]*|/\*.*?(?:\*/|\Z)|[^'"`/-]+|.""", re.DOTALL
)
# Hive may end a statement at a semicolon in quotes or in a comment, so a value has no character of either.
_HIVE_SETTINGS_PATTERN = re.compile(
    r"(?:(?:\s|--[^\r\n;]*[\r\n])*set\s+[\w.:-]+\s*=\s*(?:(?!--)[\w.,:/-])*\s*;)*", re.ASCII | re.IGNORECASE
)
_QUERY_BEGINNING_PATTERN = re.compile(r"[\s(]*(?:select|with|values|table)\b", re.IGNORECASE)
# INSERT is a reserved word in all engines. The other three verbs follow the bracket that closes WITH. A table function
# in a connector's schema, such as `TABLE(crm.system.query(…))`, hands any statement on to another database.
_CHANGING_PATTERN = re.compile(
    r"\binsert\b|\)\s*(?:delete|update|merge)\b|\btable\s*\(\s*(?:(?:\w|'')+\s*\.\s*)+(?:\w|'')+\s*\(", re.IGNORECASE
)
# Two things run programs on Hive's machines: a script after USING (of TRANSFORM, MAP or REDUCE), and a Java method.
_HIVE_PROGRAM_PATTERN = re.compile(r"\b(?:transform|reflect2?|java_method)\s*\(|\busing\s*''|\$\{", re.IGNORECASE)


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
    """Raise SettingsError unless `sql` is a single query, in Hive after statements that SET: it must change nothing.

    This stops mistakes. What a query may read is a matter of the API key's permissions.
    """
    advice = "begin it with SELECT, WITH, VALUES or TABLE, and let it change nothing and run no program"
    if engine in HASHING_ENGINES:
        bare = _remove_comments_and_texts(_SQL_PIECE_PATTERN.findall(sql))
        require_one_statement(bare, name=name)
        is_query = True
    else:
        settings = _HIVE_SETTINGS_PATTERN.match(sql)
        query = sql[settings.end() if settings else 0 :].rstrip().removesuffix(";")
        pieces = _HIVE_PIECE_PATTERN.findall(query)
        # A function's name may be in backticks.
        bare = _remove_comments_and_texts(piece.strip("`") or "`" for piece in pieces)
        # Versions of Hive differ in where a comment in a comment ends.
        is_nested = any(piece.startswith("/*") and "/*" in piece[2:] for piece in pieces)
        is_query = not (";" in query or is_nested or _HIVE_PROGRAM_PATTERN.search(bare))
        advice += (
            ". In Hive, `SET name=value;` may stand before it, with a value without quotes, and no other semicolon may "
            "be in it, not even in quotes or comments"
        )
    if not is_query or not _QUERY_BEGINNING_PATTERN.match(bare) or _CHANGING_PATTERN.search(bare):
        raise SettingsError(f"{name} is no query, so it is not issued: {advice}", key=name)


def _remove_comments_and_texts(pieces: Iterable[str]) -> str:
    """Return SQL with a blank for each comment, and `''` for whatever is in quotes."""
    return "".join(" " if piece.startswith(("--", "/*")) else "''" if piece[0] in "'\"`" else piece for piece in pieces)
