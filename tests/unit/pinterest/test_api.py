"""Pinterest's calls: what is sent, and how answers are read."""

import itertools
import json
import urllib.parse
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import pytest

from td_pinterest_op.errors import MaybeAppliedError, PinterestError, RequestRefusedError
from td_pinterest_op.http.transport import Failure, Response
from td_pinterest_op.pinterest.api import Api, Audience
from td_pinterest_op.records.prepared import SINGLE_DIGEST_LAYOUT, Batch
from tests.unit.scripted import Keys, Scene, answer, scene

ACCOUNT = "549755885175"
BELOW = f"https://pinterest.test/v5/ad_accounts/{ACCOUNT}"
AUDIENCE = {
    "id": "2542620905475",
    "name": "Shoppers",
    "audience_type": "CUSTOMER_LIST",
    "ad_account_id": ACCOUNT,
    "rule": {"customer_list_id": "643", "more": 1},
    "status": "READY",
    "size": 120,
    "a_field_of_tomorrow": {"x": []},
}
READ = Audience(
    id="2542620905475",
    name="Shoppers",
    audience_type="CUSTOMER_LIST",
    ad_account_id=ACCOUNT,
    customer_list_id="643",
    status="READY",
    size=120,
)


def api(*answers: Response | Failure) -> tuple[Api, Scene]:
    stage = scene(*answers)
    return Api(client=stage.client, tokens=Keys(), ad_account_id=ACCOUNT), stage


def sent(stage: Scene, number: int = 0) -> tuple[str, str, Any]:
    call = stage.script.sent[number]
    return call.method, call.url.removeprefix(BELOW), json.loads(call.body) if call.body else None


def queries(stage: Scene) -> list[dict[str, str]]:
    return [dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(call.url).query)) for call in stage.script.sent]


def page(*ids: object, bookmark: object = None) -> Response:
    return answer(200, {"items": [{"id": id_} for id_ in ids], "bookmark": bookmark})


# -- reading


def test_an_audience_is_read_and_unknown_fields_are_tolerated() -> None:
    calls, stage = api(answer(200, AUDIENCE))
    assert calls.find_audience("2542620905475") == READ
    assert sent(stage) == ("GET", "/audiences/2542620905475", None)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"id": 2542620905475}, READ),
        ({"rule": {"customer_list_id": 643}}, READ),
        ({"rule": None}, replace(READ, customer_list_id=None)),
        ({"rule": {"customer_list_id": None}}, replace(READ, customer_list_id=None)),
        ({"ad_account_id": ""}, replace(READ, ad_account_id=None)),
        *(({"size": size}, replace(READ, size=None)) for size in (None, "x", True, -1)),
    ],
)
def test_audience_with_numeric_ids_or_missing_fields_is_read(change: dict[str, object], expected: Audience) -> None:
    assert api(answer(200, AUDIENCE | change))[0].find_audience("2542620905475") == expected


@pytest.mark.parametrize(
    "change",
    [
        {"id": "2542620905476"},
        {"id": "2542620905475/x"},
        {"id": " 2542620905475"},
        {"id": 2542620905475.0},
        {"ad_account_id": "../1"},
        {"rule": []},
        {"rule": {"customer_list_id": "x)|.*|(x"}},
        {"rule": {"customer_list_id": ["643"]}},
        {"rule": {"customer_list_id": "643\r\n"}},
        {"rule": {"customer_list_id": "6" * 1_000_000}},
        {"rule": {"customer_list_id": -643}},
        {"rule": {"customer_list_id": False}},
        *({name: ["READY"]} for name in ("status", "name", "audience_type", "description")),
        *({name: 7} for name in ("status", "name", "audience_type", "description")),
    ],
    ids=lambda change: json.dumps(change)[:80],
)
def test_an_audience_with_an_invalid_field_is_an_error_of_one_short_line(change: dict[str, object]) -> None:
    with pytest.raises(PinterestError) as caught:
        api(answer(200, AUDIENCE | change))[0].find_audience("2542620905475")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


def test_a_message_quotes_the_beginning_of_a_long_name() -> None:
    audience = replace(READ, name="\n" + "x" * 1_000_000)
    assert audience.label == f'audience 2542620905475 "\\n{99 * "x"}…"'


def test_unknown_id_gives_none_and_any_other_refusal_an_error() -> None:
    calls, _ = api(answer(404, {"code": 2}))
    assert (calls.find_audience("1"), calls.find_customer_list("1")) == (None, None)
    with pytest.raises(RequestRefusedError):
        api(answer(410))[0].find_audience("1")


# -- listing


def test_a_listing_goes_over_all_pages() -> None:
    calls, stage = api(page("1", "2", bookmark="b&1"), page(bookmark="b2"), page(3))
    assert [audience.id for audience in calls.list_audiences()] == ["1", "2", "3"]
    asked = {"ownership_type": "OWNED", "page_size": "250", "order": "DESCENDING"}
    assert queries(stage) == [asked, asked | {"bookmark": "b&1"}, asked | {"bookmark": "b2"}]


def test_item_that_two_pages_repeat_is_listed_once() -> None:
    calls, _ = api(page("1", "2", bookmark="b"), page("2", 2, "3"))
    assert [audience.id for audience in calls.list_audiences()] == ["1", "2", "3"]


def test_a_listing_is_read_no_further_than_it_is_used() -> None:
    calls, stage = api(page("1", bookmark="b"), page("2"))
    assert next(calls.list_audiences()).id == "1"
    assert len(stage.script.sent) == 1


@pytest.mark.parametrize("bookmark", [["odd"], 7, {"next": "b"}])
def test_bookmark_that_is_no_text_is_an_error(bookmark: object) -> None:
    with pytest.raises(PinterestError, match="its field bookmark is not of the documented type"):
        list(api(page("1", bookmark=bookmark))[0].list_audiences())


def test_listing_without_end_is_an_error() -> None:
    client = Mock()
    client.send.side_effect = (page("1", bookmark=each) for each in itertools.cycle("bc"))
    calls = Api(client=client, tokens=Keys(), ad_account_id=ACCOUNT)
    with pytest.raises(PinterestError, match="the listing has no end: 4,000 pages were read"):
        list(calls.list_audiences())
    assert client.send.call_count == 4_000


@pytest.mark.parametrize("content", [{}, {"items": None}, "nonsense"])
def test_a_listing_without_items_is_an_error(content: object) -> None:
    with pytest.raises(PinterestError, match="list customer lists, but the answer has no items") as caught:
        list(api(answer(200, content))[0].list_customer_lists())
    assert not caught.value.maybe_applied  # a read changes nothing


@pytest.mark.parametrize("item", [None, {"name": "no id"}, {"id": ""}, {"id": "1\n"}, {"id": ["1"]}, {"id": 1.0}])
def test_item_without_an_id_of_digits_is_an_error_after_the_others_of_its_page(item: object) -> None:
    listed = api(answer(200, {"items": [item, {"id": "2"}], "bookmark": "next"}))[0].list_customer_lists()
    assert next(listed).id == "2"
    with pytest.raises(PinterestError, match="list customer lists, but the answer has no items with ids of digits"):
        next(listed)


# -- writing


@pytest.mark.parametrize("exceptions", [{"code": 2, "message": "jane"}, [{"code": 2}]])
def test_exceptions_on_a_read_are_a_warning(exceptions: object, caplog: pytest.LogCaptureFixture) -> None:
    calls, _ = api(answer(200, {"id": "643", "name": "L", "exceptions": exceptions}, {"x-pinterest-rid": "r7"}))
    assert calls.find_customer_list("643")
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert (
        "Pinterest's answer to the request to look up customer list 643 reports exceptions in earlier uploads "
        "[x-pinterest-rid r7]" in warning
    )
    assert "jane" not in caplog.text


CREATING: list[Callable[[Api], object]] = [
    lambda api: api.create_audience(name="N", description=None, rule={"customer_list_id": "643"}),
    lambda api: api.create_customer_list(name="N", list_type="EMAIL"),
    lambda api: api.create_customer_list(
        name="N", list_type="EMAIL", records=Batch([(SINGLE_DIGEST_LAYOUT, bytes(32))])
    ),
]
CHANGING: list[Callable[[Api], object]] = [
    lambda api: api.switch_audience("1", customer_list_id="644"),
    lambda api: api.remove_audience("1"),
    lambda api: api.change_records("1", Batch([(SINGLE_DIGEST_LAYOUT, bytes(32))]), operation="ADD"),
]


@pytest.mark.parametrize("call", CREATING)
def test_creating_call_is_not_repeated_if_it_may_have_been_applied(call: Callable[[Api], object]) -> None:
    calls, stage = api(Failure.READ_TIMEOUT, answer(201))
    with pytest.raises(MaybeAppliedError):
        call(calls)
    assert len(stage.script.sent) == 1


@pytest.mark.parametrize("call", CHANGING)
def test_changing_call_is_repeated(call: Callable[[Api], object]) -> None:
    calls, stage = api(Failure.READ_TIMEOUT, answer(200))
    call(calls)
    assert len(stage.script.sent) == 2


@pytest.mark.parametrize("call", CREATING + CHANGING)
@pytest.mark.parametrize(
    ("content", "why"),
    [
        ({}, "does not have"),
        ({"id": ""}, "does not have"),
        ({"id": "1\n"}, "does not have"),
        ({"id": ["1"]}, "does not have"),
        ({"id": "1", "exceptions": [{"code": 2, "message": "jane"}]}, "contains exceptions"),
    ],
)
def test_a_2xx_that_is_no_success_is_a_failure_with_its_own_message(
    call: Callable[[Api], object], content: object, why: str
) -> None:
    calls, stage = api(answer(200, content, {"x-pinterest-rid": "r7"}))
    with pytest.raises(PinterestError) as caught:
        call(calls)
    error = caught.value
    assert f"but the answer {why}" in str(error)
    assert str(error).endswith("[x-pinterest-rid r7]")
    assert "jane" not in str(error)
    assert (type(error), error.status, error.maybe_applied) == (PinterestError, 200, True)
    assert len(stage.script.sent) == 1


@pytest.mark.parametrize("call", CHANGING)
def test_answer_about_another_entity_is_a_failure(call: Callable[[Api], object]) -> None:
    with pytest.raises(PinterestError, match="but the answer does not have the id 1, so it is unknown") as caught:
        call(api(answer(200, {"id": "2"}))[0])
    assert caught.value.maybe_applied


@pytest.mark.parametrize("exceptions", [[], None])
def test_empty_exceptions_are_a_success(exceptions: object) -> None:
    api(answer(200, {"id": "1", "exceptions": exceptions}))[0].remove_audience("1")


def test_error_about_records_names_their_number_and_quotes_no_response() -> None:
    calls, _ = api(answer(413, {"code": 1, "message": "jane"}, {"x-pinterest-rid": "r7"}))
    with pytest.raises(RequestRefusedError) as caught:
        calls.change_records("643", Batch([(SINGLE_DIGEST_LAYOUT, bytes(96))]), operation="ADD")
    assert (
        "Pinterest answered 413 (code 1) to the request to add 3 records to customer list 643 [x-pinterest-rid r7]"
        in str(caught.value)
    )
    assert "jane" not in str(caught.value)
    assert "[x-pinterest-rid r7]" in str(caught.value)
