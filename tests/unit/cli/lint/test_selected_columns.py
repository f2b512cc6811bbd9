"""The columns of a query are those that its text shows, or unknown."""

import pytest

from td_pinterest_op.cli.lint.selected_columns import find_selected_names


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("SELECT email FROM people", ["email"]),
        ("select DISTINCT p.Email, 'a, b' AS \"kind\" from people p", ["email", "kind"]),
        ("SELECT lower(trim(mail)) AS email, count(*) FROM a GROUP BY 1", ["email", "_col"]),
        ("SELECT coalesce(a, b) email", ["email"]),
        ("WITH a AS (SELECT id FROM b) SELECT email FROM a", ["email"]),
        ("-- set session a='b'\nSELECT email /* , id */ FROM a", ["email"]),
        ("SELECT email FROM a UNION SELECT mail FROM b", ["email"]),
        ("SELECT CASE WHEN a THEN b END AS maid FROM t WHERE x IN (SELECT y FROM z)", ["maid"]),
        ("FROM people SELECT `email`", ["email"]),
        ("SELECT * FROM people", None),
        ("SELECT p.*, email FROM people p", None),
        ("SELECT customer_id email FROM people", None),
        ("SELECT (email) FROM people", None),
        ("SELECT CASE WHEN a THEN b END FROM t", None),
        ("SELECT ${column} FROM people", None),
        ("(SELECT id FROM a) UNION (SELECT email FROM b)", None),
        ("TABLE people", None),
        ("", None),
    ],
)
def test_names_of_selected_columns_are_read_or_unknown(sql: str, names: list[str] | None) -> None:
    assert find_selected_names(sql) == names
