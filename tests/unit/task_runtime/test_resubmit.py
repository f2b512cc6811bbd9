"""Which tasks start again after a refused refresh token, and what digdag gets to run."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from td_pinterest_op.errors import AccountError, ExportError
from td_pinterest_op.task_runtime.process import GuardedTaskRun, rerun_after_refused_token

ENVIRONMENT = {"PINTEREST_REFRESH_TOKEN": "${secret:pinterest.refresh_token}"}
PARAMS = {
    "_command": "td_pinterest_op.export.PinterestExport",
    "_type": "py",
    "_env": ENVIRONMENT,
    "_retry": 3,
    "py>": "td_pinterest_op.export.PinterestExport",
    "task_name": "+flow+export",
    "result_settings": {"audience_name": "a ${b} $$", "columns": ["$1", 2.5]},
}


def refused(fingerprint: str | None = "0a1b2c3d") -> AccountError:
    error = AccountError("Pinterest refused the refresh token")
    error.refused_token = fingerprint
    return error


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The subtasks that digdag was left; `digdag.env.params` are PARAMS."""
    subtasks: list[dict[str, Any]] = []
    env = SimpleNamespace(params=dict(PARAMS), add_subtask=subtasks.append)
    monkeypatch.setitem(sys.modules, "digdag", SimpleNamespace(env=env))
    return subtasks


def test_subtask_has_the_same_parameters_and_unresolved_secrets(
    left: list[dict[str, Any]],
) -> None:
    with GuardedTaskRun():
        raise refused()
    dollar = "${'$'}"
    assert left == [
        {
            "py>": "td_pinterest_op.export.PinterestExport",
            "_env": ENVIRONMENT,
            "task_name": "+flow+export",
            "result_settings": {"audience_name": f"a {dollar}{{b}} {dollar}{dollar}", "columns": [f"{dollar}1", 2.5]},
            "pinterest_refused_token": {"fingerprint": "0a1b2c3d", "times": 1},
        }
    ]


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ("", 1),
        ({"fingerprint": "0a1b2c3d", "times": 1}, 2),
        ({"fingerprint": "0a1b2c3d", "times": 2}, None),
        ({"fingerprint": "ffffffff", "times": 2}, 1),
    ],
)
def test_task_is_resubmitted_twice_with_one_token(
    left: list[dict[str, Any]], before: object, expected: int | None
) -> None:
    sys.modules["digdag"].env.params["pinterest_refused_token"] = before
    assert rerun_after_refused_token(refused()) == (expected is not None)
    assert [subtask["pinterest_refused_token"]["times"] for subtask in left] == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("environment", "token"),
    [(None, "0a1b2c3d"), ({"PINTEREST_REFRESH_TOKEN": "in plain text"}, "0a1b2c3d"), (ENVIRONMENT, None)],
)
def test_task_without_a_secret_or_with_another_error_is_not_resubmitted(
    left: list[dict[str, Any]], environment: object, token: str | None
) -> None:
    sys.modules["digdag"].env.params["_env"] = environment
    with pytest.raises(ExportError, match="refused the refresh token"), GuardedTaskRun():
        raise refused(token)
    assert left == []
