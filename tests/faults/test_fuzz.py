"""Arbitrary responses of Pinterest: a run ends in success or in an expected error, and shows no person."""

import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from requests.auth import AuthBase

from td_pinterest_op.audiences.actions import ACTIONS
from td_pinterest_op.errors import ExportError, UnexpectedError
from td_pinterest_op.http.transport import Failure, NoResponseError, Response, Transport
from td_pinterest_op.settings.table import ActionSpec
from tests import guard
from tests.campaigns import examples
from tests.exporting import NEEDED, digest
from tests.faults.conftest import Stage, use_transport

AUDIENCE_ID = str(NEEDED["seed_audience_id"])
LIST_ID = "549755885175000111"
RECORDS = 6
Given = Response | Failure
# A mirror reads its rows from the warehouse, and has its own tests.
EVERY = [each.action for each in ACTIONS if not each.action.needs_query]
# The settings that some actions need.


def settings_of(action: ActionSpec) -> dict[str, Any]:
    named = {"audience_id": AUDIENCE_ID} if "old audience" in action.scopes else {}
    return named | {"action": action.name} | {name: NEEDED[name] for name in action.needs}


class ScriptedTransport(Transport):
    """Answers in place of Pinterest with the responses of the script, and with usual ones where it has None."""

    script: Iterator[Given | None] = iter(())

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._list_id = LIST_ID
        self._audiences = [AUDIENCE_ID]
        self._lists = [LIST_ID]

    def send(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, auth: AuthBase | None = None
    ) -> Response:
        given = next(self.script, None)
        if isinstance(given, Failure):
            raise NoResponseError(given)
        return given or _json(self._usual(method, url.partition("?")[0], body))

    def _usual(self, method: str, path: str, body: bytes | None) -> dict[str, Any]:
        if path.endswith("/oauth/token"):
            return {"access_token": "pina.s3cr3t", "expires_in": 2_592_000}
        if path.endswith(("/ad_groups", "/targeting_templates", "/customer_segments")):
            return {"items": []}  # nothing uses the audience
        asked = json.loads(body) if body else {}
        self._list_id = asked.get("rule", {}).get("customer_list_id", self._list_id)
        things = self._audiences if "/audiences" in path else self._lists
        if path.endswith(("/audiences", "/customer_lists")):
            if method == "GET":
                return {"items": [self._shown(thing) for thing in things]}
            things.append(str(int(things[-1]) + 1))
            return self._shown(things[-1])
        return self._shown(path.rpartition("/")[2])

    def _shown(self, thing: str) -> dict[str, Any]:
        rule = {"customer_list_id": self._list_id}
        return {
            "id": thing,
            "name": f"Thing {thing}",
            "audience_type": "CUSTOMER_LIST",
            "rule": rule,
            "status": "READY",
            "size": 10_000,
        }


def _json(content: object, status: int = 200) -> Response:
    return Response(status=status, headers={}, body=json.dumps(content).encode())


_ids = st.sampled_from([AUDIENCE_ID, LIST_ID, "1", "", "x", "-1", "²"])
_texts = st.sampled_from(["Shoppers", "CUSTOMER_LIST", "READY", "REMOVED", ""]) | st.text(max_size=8)
_people = st.sampled_from(["person1@shop.example", f"no {digest('x')}", "5eed0000-0000-4000-8000-000000000000"])
_scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), _ids, _texts)
_values = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3), max_leaves=6
)
# Fields of lists, audiences, pages, tokens and errors.
_things = st.fixed_dictionaries(
    {"id": _ids | _scalars, "name": _texts | _scalars},
    optional={
        "audience_type": st.sampled_from(["CUSTOMER_LIST", "VISITOR"]) | _scalars,
        "rule": st.fixed_dictionaries({"customer_list_id": _ids | _scalars}) | _values,
        "status": _texts | _scalars,
        "ad_account_id": _ids,
        "exceptions": _values | _people,
        "num_uploaded_user_records": _scalars,
        "access_token": st.just("pina.s3cr3t") | _scalars,
        "refresh_token": _texts | _scalars,
        "expires_in": _scalars,
        "code": _scalars,
        "message": _people | _scalars,
    },
)
_pages = st.fixed_dictionaries({"items": st.lists(_things | _values, max_size=3)}, optional={"bookmark": _scalars})
_bodies = st.one_of(
    (_things | _pages | _values).map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=20),
    st.sampled_from([b"", b"[" * 5000, b'{"id": 1', b"\xff\xfe", b'{"id": "' + b"9" * 5000 + b'"}', b"1" * 5000]),
)
_header_values = st.one_of(
    st.sampled_from(["0", "7", "-1", "9" * 30, "Wed, 25 Nov 2026 00:00:07 GMT", "never", "1e400", "nan", "²", "٣"]),
    st.text(max_size=8),
)
_headers = st.dictionaries(
    st.sampled_from(
        ["Retry-After", "Date", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "x-pinterest-rid"]
    ),
    _header_values,
    max_size=3,
)
_statuses = st.sampled_from([200, 200, 200, 200, 201, 204, 301, 400, 401, 403, 404, 408, 413, 429, 500, 503]) | (
    st.integers(100, 599)
)
_answers = st.builds(Response, status=_statuses, headers=_headers, body=_bodies)
_given = st.one_of(_answers, _answers, st.sampled_from(Failure))
# Mostly usual responses, so that runs reach late steps.
_script = st.lists(st.one_of(st.none(), st.none(), st.none(), _given), max_size=25)


@settings(max_examples=examples(100), suppress_health_check=list(HealthCheck))
@given(action=st.sampled_from(EVERY), token=st.none() | _given, script=_script, rounds=st.integers(1, 9))
def test_arbitrary_responses_end_in_success_or_an_expected_error(
    action: ActionSpec, token: Given | None, script: list[Given | None], rounds: int, stage: Stage, job_id: str
) -> None:
    wanted = {"limit_records_per_request": 2, "retry_count": 2, **settings_of(action)}
    with use_transport(ScriptedTransport, script=itertools.chain([token], *[script] * rounds)):
        stats = run_export(stage, wanted, job_id)
    assert stats is None or stats["records"]["unique"] == stats["records"]["sent"] + stats["records"]["refused"]


def run_export(stage: Stage, wanted: dict[str, Any], job_id: str) -> dict[str, Any] | None:
    """Return the statistics, None after an expected error. Raises UnexpectedError and errors of other types."""
    try:
        return stage.export(wanted, job_id=job_id)
    except UnexpectedError:
        raise
    except ExportError as error:
        guard.check(str(error), "the error")
        return None


@pytest.mark.parametrize("action", EVERY)
def test_usual_responses_let_every_action_succeed(stage: Stage, action: ActionSpec, job_id: str) -> None:
    """Otherwise arbitrary responses would reach only the first steps."""
    with use_transport(ScriptedTransport):
        stats = stage.export(settings_of(action), job_id=job_id)
    assert action.name == stats["action"]
