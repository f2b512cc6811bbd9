"""Names of other systems on one line of a log."""

import pytest

from td_pinterest_op.redaction.secret import Secret, sanitize


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Käufer 2026 日本", "Käufer 2026 日本"),
        ("a\nINFO b", "a\\nINFO b"),
        ("a\u2028b\u202ec", "a\\u2028b\\u202ec"),
        ("x" * 81, "x" * 80 + "…"),
        ("one@shop.example", "<hidden>"),
        ("y" * 70 + " " + "a" * 64, "y" * 70 + " <hidden>"),
    ],
)
def test_a_name_is_masked_escaped_and_cut(text: str, expected: str) -> None:
    assert expected == sanitize(text)


def test_secret_at_the_cut_is_masked() -> None:
    Secret("token-s3cr3t-token")
    assert "x" * 75 + "***" == sanitize("x" * 75 + "token-s3cr3t-token")
