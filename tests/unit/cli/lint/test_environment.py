"""Secrets in plain text, names of secrets that look misspelt, and variables that are missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.lint.samples import GOOD, found_in


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("    TD_API_KEY: ${secret:td.apikey}\n", "", [(21, "env")]),
        ("    PINTEREST_CLIENT_ID: ${secret:pinterest.client_id}\n", "", [(15, "env")]),
        ("${secret:pinterest.client_secret}", "s3cr3t", [(24, "plain-secret")]),
        ("${secret:td.apikey}", "1/s3cr3t", [(22, "plain-secret")]),
        ("pinterest.client_secret}", "pinterest.client_secrt}", [(24, "secret-name")]),
        ("pinterest.client_secret}", "pinterest2.client_secret}", []),
        ("pinterest.client_secret}", "pinterest.client_secret_eu}", []),
        ("pinterest.client_secret}", "pinterest.client.secret}", []),
        ("pinterest.client_secret}", "marketing}", []),
        ("  docker:\n", "  _env:\n    A: b\n  docker:\n", [(6, "env")]),
    ],
)
def test_a_mistake_in_env_is_found_at_its_line(
    project: Path, old: str, new: str, expected: list[tuple[int, str]]
) -> None:
    assert old in GOOD
    assert expected == found_in(project, GOOD.replace(old, new, 1))


def test_the_names_of_secrets_are_compared_with_those_of_other_workflows(project: Path) -> None:
    (project / "other.dig").write_text("+a:\n  echo>: ${secret:marketing.token}\n")
    assert [(25, "secret-name")] == found_in(project, GOOD.replace("pinterest.refresh_token}", "marketing.tokn}"))
    assert [] == found_in(project, GOOD.replace("pinterest.refresh_token}", "marketing.token}"))
