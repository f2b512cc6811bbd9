"""Who of the made-up people should be in the audience, by SQL and not by the operator."""

from dataclasses import dataclass
from pathlib import Path

import duckdb

_MACROS = """
CREATE MACRO trimmed(text) AS lower(trim(text, ' ' || chr(160) || chr(8203)));
CREATE MACRO digest(text) AS CASE
  WHEN regexp_full_match(trimmed(text), '[0-9a-f]{64}') AND trimmed(text) <> sha256('') THEN trimmed(text)
  WHEN octet_length(encode(trimmed(text))) <= 254
    AND regexp_full_match(trimmed(text), '[^@, ]+@[^@,. ]+([.][^@,. ]+)+') THEN sha256(trimmed(text)) END
"""
_PEOPLE = """
SELECT digest(email) AS digest,
  bool_or(digest(email) IN (SELECT digest(o.email) FROM opt_outs o WHERE digest(o.email) IS NOT NULL)) AS opted_out,
  bool_or(email IN (FROM opt_outs)) AS opted_out_by_text,
  bool_or(('0x' || left(sha256('spring' || chr(10) || customer_id), 8))::BIGINT % 10000 < 1000) AS in_control
FROM read_parquet($file) WHERE opted_in = 1 AND digest(email) IS NOT NULL GROUP BY 1
"""


@dataclass(frozen=True, kw_only=True)
class QueryPeople:
    """Digests of the people whom the query finds; `by_text`: how many of them opted out by a join on the text."""

    everybody: frozenset[str]
    opted_out: frozenset[str]
    in_control: frozenset[str]
    by_text: int


def find_people(people: Path, opt_outs: Path) -> QueryPeople:
    """Return the people whom the sandbox's queries find, and those of them who must not be sent."""
    with duckdb.connect() as connection:
        connection.execute(_MACROS)
        connection.execute(f"CREATE TABLE opt_outs AS FROM read_parquet('{opt_outs}')")
        rows = connection.execute(_PEOPLE, {"file": str(people)}).fetchall()
    return QueryPeople(
        everybody=frozenset(digest for digest, *_ in rows),
        opted_out=frozenset(digest for digest, opted_out, *_ in rows if opted_out),
        in_control=frozenset(digest for digest, _, _, in_control in rows if in_control),
        by_text=sum(1 for _, _, by_text, _ in rows if by_text),
    )
