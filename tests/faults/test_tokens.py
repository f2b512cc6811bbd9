"""Refresh tokens that Pinterest rotates are kept where they came from; where they cannot be, that is said once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from td_pinterest_op.errors import AccountError
from tests.emulators.digdag_secrets import PROJECT_ID, DigdagSecrets, serve_secrets
from tests.emulators.pinterest import REFRESH_TOKEN
from tests.exporting import digests, people
from tests.faults.conftest import Stage

KEY = "pinterest.refresh_token"
SERVER_KEY = "workflow-s3cr3t-key"


@pytest.fixture
def keeper() -> Iterator[tuple[DigdagSecrets, str]]:
    """The workflow server's secrets, the refresh token among them, and its address."""
    with serve_secrets(state=DigdagSecrets(api_key=SERVER_KEY)) as (secrets, url):
        secrets.set_secret(KEY, REFRESH_TOKEN)
        yield secrets, url


@pytest.fixture
def rotating(stage: Stage) -> Stage:
    stage.pinterest.switches.rotate_refresh_tokens = True
    return stage


def run(stage: Stage, token: str, *, environ: Mapping[str, str], project_id: object = PROJECT_ID) -> None:
    """Export with that refresh token, to the account's only audience; fails unless all are in it."""
    audiences = stage.audiences()
    audience_id = audiences[0].id if audiences else stage.audience([], name="Shoppers")
    stage.export(
        {"action": "add_people_to_current_audience", "audience_id": audience_id},
        job_id=stage.services.job(people(5)),
        environ={"PINTEREST_REFRESH_TOKEN": token, **environ},
        project_id=project_id,
    )
    assert digests(5) == stage.pinterest.members_of_audience(audience_id)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelname == "WARNING" and record.name.startswith("td_pinterest_op")
    ]


def test_three_runs_in_a_row_succeed_while_every_refresh_ends_the_token_before(
    rotating: Stage, keeper: tuple[DigdagSecrets, str], caplog: pytest.LogCaptureFixture
) -> None:
    secrets, url = keeper
    seen = [REFRESH_TOKEN]
    for _ in range(3):
        environ = {"DIGDAG_ENDPOINT": url, "DIGDAG_AUTHORIZATION": f"TD1 {SERVER_KEY}"}
        run(rotating, secrets.secrets()[KEY], environ=environ)
        seen.append(secrets.secrets()[KEY])
    assert 4 == len(set(seen))
    assert seen[-1] in rotating.pinterest.tokens.refresh_tokens()
    assert [200] * 3 == [call.status for call in secrets.calls()]
    assert [] == warnings(caplog)


def test_under_a_local_run_the_token_is_kept_in_the_local_secrets_folder(
    rotating: Stage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "secrets" / KEY
    file.parent.mkdir()
    file.write_text(f"{REFRESH_TOKEN}\n")
    for _ in range(3):
        run(rotating, file.read_text().strip(), environ={"DIGDAG_CONFIG_HOME": str(tmp_path)}, project_id=1)
    assert file.read_text() != REFRESH_TOKEN
    assert [KEY] == [left.name for left in file.parent.iterdir()]
    assert 0o600 == file.stat().st_mode & 0o777
    assert [] == warnings(caplog)


def test_a_token_that_ends_within_a_fortnight_is_warned_of(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.pinterest.tokens.set_refresh_token(REFRESH_TOKEN, days=13)
    run(stage, REFRESH_TOKEN, environ={})
    assert 1 == len([said for said in warnings(caplog) if "the refresh token ends on" in said])


def test_a_token_that_has_ended_is_for_the_owner_of_the_account(stage: Stage) -> None:
    stage.pinterest.tokens.set_refresh_token(REFRESH_TOKEN, days=0)
    with pytest.raises(AccountError, match="authorise the app again"):
        run(stage, REFRESH_TOKEN, environ={})
    assert [] == stage.pinterest.calls.writes()


def test_access_tokens_that_are_withdrawn_in_the_middle_are_replaced_once(stage: Stage) -> None:
    pinterest = stage.pinterest
    withdrawn: list[int] = []

    def withdraw(call: Any) -> None:
        if call.path.startswith(f"/ad_accounts/{stage.account}") and call.operation_type == "ADD" and not withdrawn:
            withdrawn.append(call.number)
            pinterest.tokens.revoke_access_tokens()

    pinterest.on_request(withdraw)
    audience_id, _ = stage.add(people(40), limit_records_per_request=2)
    assert digests(40) == pinterest.members_of_audience(audience_id)
    assert withdrawn
    assert 2 == len(pinterest.calls.of("oauth/token"))
