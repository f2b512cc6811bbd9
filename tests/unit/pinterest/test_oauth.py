"""Access tokens: when they are got, and what happens to the refresh token."""

import base64
import threading
import urllib.parse
from dataclasses import dataclass

import pytest

from td_pinterest_op.errors import AccountError, PinterestError
from td_pinterest_op.http.transport import Failure, Response
from td_pinterest_op.pinterest.oauth import RenewableTokens
from td_pinterest_op.redaction.secret import Secret
from td_pinterest_op.runtime.clock import DAY_SECONDS
from tests.unit.scripted import Scene, answer, scene


def issued(token: object = "access-1", **more: object) -> Response:
    return answer(200, {"access_token": token, "token_type": "bearer", "expires_in": 30 * DAY_SECONDS} | more)


@dataclass(kw_only=True)
class Office:
    """Tokens, the scene they act in, and what they gave to be kept."""

    tokens: RenewableTokens
    scene: Scene
    stored: list[Secret]
    kept: list[tuple[str | None, float | None]]

    def token(self) -> str:
        return self.tokens.get_token().token.reveal()

    def replace(self, *, has_worked: bool) -> bool:
        """Replace the token in use."""
        return self.tokens.replace_refused_token(self.tokens.get_token(), has_worked=has_worked)


def office(*answers: Response | Failure, needs_scopes: bool = False) -> Office:
    """Tokens that get these answers: two tokens unless told."""
    stage = scene(*(answers or (issued("access-1"), issued("access-2"))))
    stored = [Secret("s3cr3t-refresh&1")]
    kept: list[tuple[str | None, float | None]] = []
    tokens = RenewableTokens(
        client=stage.client,
        client_id=Secret("app-1489"),
        client_secret=Secret("s3cr3t:client"),
        refresh_token=Secret("s3cr3t-refresh&1"),
        on_new_refresh_token=lambda secret, seconds: kept.append((secret.reveal() if secret else None, seconds)),
        read_stored_refresh_token=lambda: stored[0],
        needs_scopes=needs_scopes,
    )
    return Office(tokens=tokens, scene=stage, kept=kept, stored=stored)


def test_the_refresh_token_is_exchanged_with_the_apps_own_credentials() -> None:
    rig = office(issued())
    assert rig.token() == "access-1"
    (sent,) = rig.scene.script.sent
    assert (sent.method, sent.url) == ("POST", "https://pinterest.test/v5/oauth/token")
    assert sent.headers["Authorization"] == "Basic " + base64.b64encode(b"app-1489:s3cr3t:client").decode()
    assert sent.headers["Content-Type"] == "application/x-www-form-urlencoded"
    form = urllib.parse.parse_qs(sent.body.decode())
    assert form == {
        "grant_type": ["refresh_token"],
        "refresh_token": ["s3cr3t-refresh&1"],
        "continuous_refresh": ["true"],
    }


@pytest.mark.parametrize(
    ("expires_in", "used_for"),
    [
        (30 * DAY_SECONDS, 30 * DAY_SECONDS - 600),
        (3600, 3000),
        (600, 300),
        (None, 30 * DAY_SECONDS - 600),
        (0, 30 * DAY_SECONDS - 600),
        (10**400, 30 * DAY_SECONDS - 600),
    ],
)
def test_access_token_is_used_until_shortly_before_its_expiry_or_for_thirty_days(
    expires_in: object, used_for: float
) -> None:
    rig = office(issued("access-1", expires_in=expires_in), issued("access-2"))
    rig.token()
    rig.scene.time.sleep(used_for - 1)
    assert rig.token() == "access-1"
    rig.scene.time.sleep(1)
    assert rig.token() == "access-2"
    assert len(rig.scene.script.sent) == 2


def in_threads(count: int, work: object) -> list[str]:
    results: list[str] = []
    barrier = threading.Barrier(count)

    def run() -> None:
        barrier.wait(timeout=10)
        results.append(work())  # type: ignore[operator]

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)
    return results


def test_threads_whose_token_was_refused_renew_it_once_together() -> None:
    rig = office(issued("access-1"), issued("access-2"), issued("access-3"))
    refused = rig.tokens.get_token()

    def renewed() -> str:
        assert rig.tokens.replace_refused_token(refused, has_worked=False)
        return rig.token()

    assert in_threads(16, renewed) == ["access-2"] * 16
    assert len(rig.scene.script.sent) == 2


def test_a_new_refresh_token_is_kept_at_once_and_used_from_then_on() -> None:
    rig = office(
        issued("access-1", refresh_token="s3cr3t-refresh-2", refresh_token_expires_in=60 * DAY_SECONDS),
        issued("access-2"),
    )
    rig.replace(has_worked=False)
    rig.token()
    assert rig.kept == [("s3cr3t-refresh-2", 60 * DAY_SECONDS), (None, None)]
    assert b"refresh_token=s3cr3t-refresh-2" in rig.scene.script.sent[1].body


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        ({}, (None, None)),
        ({"refresh_token_expires_in": 9 * DAY_SECONDS}, (None, 9 * DAY_SECONDS)),
        ({"refresh_token": "s3cr3t-refresh&1", "refresh_token_expires_in": 9 * DAY_SECONDS}, (None, 9 * DAY_SECONDS)),
        ({"refresh_token": "s3cr3t-new", "refresh_token_expires_in": "soon"}, ("s3cr3t-new", None)),
        ({"refresh_token": "", "refresh_token_expires_in": None}, (None, None)),
    ],
)
def test_new_refresh_token_or_the_end_of_the_old_one_is_reported(
    content: dict[str, object], kept: tuple[str | None, float | None]
) -> None:
    rig = office(issued(**content))
    rig.token()
    assert [kept] == rig.kept


@pytest.mark.parametrize(
    ("description", "said"),
    [
        (answer(401, {"code": 2, "message": "Authentication failed"}), "client_id or client_secret is wrong"),
        (answer(401, {"code": 283, "message": "invalid grant"}), "The refresh token has expired, was replaced, or"),
        (answer(400, {"code": 1, "message": "bad token s3cr3t-refresh&1"}), "400 (code 1)"),
    ],
)
def test_refused_credentials_are_for_the_apps_owner_and_not_repeated(description: Response, said: str) -> None:
    rig = office(description)
    with pytest.raises(AccountError) as caught:
        rig.token()
    text = str(caught.value)
    assert said in text
    assert ("code 2)" in text) != ("authorise the app again (scopes ads:read and ads:write) and store the new" in text)
    assert "s3cr3t" not in text
    assert len(rig.scene.script.sent) == 1
    assert rig.kept == []


@pytest.mark.parametrize(
    "content", [{"access_token": ""}, {"access_token": 7}, {"access_token": "x" * 5_000_000}, "nonsense"]
)
def test_a_2xx_without_an_access_token_is_a_failure_of_pinterest(content: object) -> None:
    with pytest.raises(PinterestError, match="has no access token"):
        office(answer(200, content)).token()


# -- a token that is refused


def test_a_token_that_never_worked_is_renewed_once() -> None:
    rig = office(issued("access-1"), issued("access-2"), issued("access-3"), issued("access-4"))
    assert rig.replace(has_worked=False)
    assert not rig.replace(has_worked=False)
    assert rig.replace(has_worked=True)
    assert rig.token() == "access-3"


def test_refusal_of_an_earlier_token_renews_nothing() -> None:
    rig = office()
    first = rig.tokens.get_token()
    assert rig.tokens.replace_refused_token(first, has_worked=True)
    for _ in range(20):
        assert rig.tokens.replace_refused_token(first, has_worked=True)
    assert rig.token() == "access-2"
    assert len(rig.scene.script.sent) == 2


def test_a_refresh_after_a_refusal_uses_the_token_that_another_task_has_stored() -> None:
    rig = office()
    token = rig.tokens.get_token()
    rig.stored[0] = Secret("s3cr3t-refresh-of-another-task")
    assert rig.tokens.replace_refused_token(token, has_worked=False)
    assert rig.token() == "access-2"
    assert b"refresh_token=s3cr3t-refresh-of-another-task" in rig.scene.script.sent[1].body


def test_a_refresh_token_that_another_task_has_renewed_meanwhile_is_replaced_once() -> None:
    rig = office(answer(401, {"code": 283}), issued("access-1"))
    rig.stored[0] = Secret("s3cr3t-refresh-of-another-task")
    assert rig.token() == "access-1"
    assert b"refresh_token=s3cr3t-refresh-of-another-task" in rig.scene.script.sent[1].body


def test_refusals_of_all_stored_tokens_are_counted_together() -> None:
    rig = office(answer(401, {"code": 283}))
    numbers = iter(range(100))
    rig.tokens.read_stored_refresh_token = lambda: Secret(f"s3cr3t-refresh-{next(numbers)}")
    with pytest.raises(AccountError, match="was replaced"):
        rig.token()
    assert len(rig.scene.script.sent) == 10


def test_an_old_token_that_is_still_stored_is_not_taken_for_a_new_one() -> None:
    """Saving the new one has failed."""
    rig = office(issued("access-1", refresh_token="s3cr3t-new"), issued("access-2"))
    assert rig.replace(has_worked=False)
    assert rig.token() == "access-2"
    assert b"refresh_token=s3cr3t-new" in rig.scene.script.sent[1].body


# -- scopes


@pytest.mark.parametrize(
    ("granted", "missing"),
    [
        ("ads:read ads:write", None),
        (None, None),
        ("ads:read", "scope ads:write"),
        ("ads:write_all", "scopes ads:read and ads:write"),
    ],
)
def test_a_token_without_a_scope_that_the_run_needs_is_for_the_accounts_owner(
    granted: object, missing: str | None
) -> None:
    rig = office(issued(scope=granted, refresh_token="s3cr3t-new"), needs_scopes=True)
    if missing is None:
        assert rig.token() == "access-1"
        return
    with pytest.raises(AccountError, match=f"the refresh token lacks the {missing}. The owner"):
        rig.token()
    assert rig.kept[0][0] == "s3cr3t-new"
