"""`http>` and `mail>`, to sinks on this machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.dig import Result, run
from tests.sinks import Asked, mail_sink, web_sink

Flow = Callable[..., Result]


@pytest.fixture
def flow(tmp_path: Path) -> Flow:
    def run_text(text: str, **options: Any) -> Result:
        (tmp_path / "flow.dig").write_text(text)
        return run(tmp_path / "flow.dig", **options)

    return run_text


@pytest.fixture
def web() -> Iterator[tuple[str, list[Asked]]]:
    with web_sink() as sink:
        yield sink


@pytest.fixture
def smtp() -> Iterator[tuple[int, list[bytes]]]:
    with mail_sink() as sink:
        yield sink


def test_a_mapping_is_posted_as_json_to_an_address_that_is_a_secret(flow: Flow, web: Any) -> None:
    result = flow(
        "+a: {fail>: 'a \"quoted\"\n\n  line'}\n"
        "_error:\n  http>: ${secret:slack.webhook}\n  method: POST\n"
        "  content: {text: 'failed ${error.message}', token: '${secret:slack.token}'}\n",
        secrets={"slack.webhook": f"{web[0]}/200/hook", "slack.token": "t1"},
    )
    ((method, path, headers, body),) = web[1]
    assert (method, path, headers["Content-Type"]) == ("POST", "/200/hook", "application/json")
    assert json.loads(body) == {"text": 'failed a "quoted"\nline', "token": "t1"}
    assert result.store["http"] == {"last_status": 200}
    assert "Sending HTTP request: POST ***" in result.log
    assert web[0] not in result.log


@pytest.mark.parametrize(("status", "words"), [(404, "HTTP 4XX Client Error"), (503, "HTTP 5XX Server Error")])
def test_an_error_status_fails_the_task(flow: Flow, web: Any, status: int, words: str) -> None:
    result = flow(f"+a: {{http>: '{web[0]}/{status}'}}\n")
    assert result.status == "error"
    assert words in str(result.error)


@pytest.mark.parametrize(
    "task", ["http>: 'http://example.com/'", "http>: 'http://10.0.0.1/'", "http>: 'file:///etc/x'"]
)
def test_another_machine_is_not_reached(flow: Flow, task: str) -> None:
    result = flow(f"+a: {{{task}}}\n")
    assert "this machine only" in str(result.error)


MAIL = "_export: {{mail: {{from: a@shop.example, port: {port}, host: 127.0.0.1}}}}\n"


@pytest.mark.parametrize("to", ["b@shop.example", "[b@shop.example]"])
def test_a_mail_is_sent_with_its_text(flow: Flow, smtp: tuple[int, list[bytes]], to: str) -> None:
    task = f"{{mail>: {{data: 'two: ${{1 + 1}}'}}, subject: s, to: {to}}}"
    assert flow(MAIL.format(port=smtp[0]) + f"+a: {task}\n").status == "success"
    assert b"To: b@shop.example" in smtp[1][0]
    assert b"two: 2" in smtp[1][0]


@pytest.mark.parametrize(
    ("export", "secrets", "complaint"),
    [
        ("{from: a@shop.example, port: 25}", {}, "Missing SMTP configuration"),
        ("{from: a@shop.example}", {"mail.host": "127.0.0.1", "mail.port": "25"}, "Parameter 'port' is required"),
        ("{port: 25, host: 127.0.0.1}", {}, "Parameter 'from' is required"),
        ("{from: a@shop.example, port: 25, host: mail.example}", {}, "this machine only"),
    ],
)
def test_a_mail_without_its_settings_fails(flow: Flow, export: str, secrets: dict[str, str], complaint: str) -> None:
    result = flow(
        f"_export: {{mail: {export}}}\n+a: {{mail>: {{data: x}}, subject: s, to: b@shop.example}}\n", secrets=secrets
    )
    assert complaint in str(result.error)
