"""The columns of a query are those that its text shows, or unknown."""

import pytest

from td_pinterest_op.cli.lint.selected_columns import build_job_of_selected_columns


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("SELECT email FROM people", ["email"]),
        ("select DISTINCT p.Email, 'a, b' AS \"kind\" from people p", ["email", "kind"]),
        ("SELECT lower(trim(mail)) AS email, count(*) FROM a GROUP BY 1", ["email", "_col1"]),
        ("SELECT coalesce(a, b) email", ["email"]),
        ("WITH a AS (SELECT id FROM b) SELECT email FROM a", ["email"]),
        ("-- set session a='b'\nSELECT email /* , id */ FROM a", ["email"]),
        ("SELECT email FROM a UNION SELECT mail FROM b", ["email"]),
        ("SELECT CASE WHEN a THEN b END AS maid FROM t WHERE x IN (SELECT y FROM z)", ["maid"]),
        ("SELECT * FROM people", None),
        ("SELECT p.*, email FROM people p", None),
        ("SELECT customer_id email FROM people", ["email"]),
        ("SELECT email FROM people WHERE day = '${session_date}'", ["email"]),
        ("SELECT (email) FROM people", ["email"]),
        ("SELECT CASE WHEN a THEN b END, lower(c) FROM t", ["_col0", "_col1"]),
        ("SELECT ${column} FROM people", None),
        ("SELECT ${prefix}email FROM people", None),
        ("(SELECT id FROM a) UNION (SELECT email FROM b)", ["id"]),
        ("TABLE people", None),
        ("FROM people SELECT `email`", None),
        (f"SELECT {'(' * 5_000}", None),
        ("", None),
    ],
)
def test_names_of_selected_columns_are_read_or_unknown(sql: str, names: list[str] | None) -> None:
    job = build_job_of_selected_columns(sql)
    assert (job and job.names) == names
