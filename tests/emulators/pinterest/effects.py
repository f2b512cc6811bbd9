"""Carries out the effects of faults on a connection."""

import asyncio
import contextlib
import email.utils
import json
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tests.emulators.pinterest.accounts import USER, User
from tests.emulators.pinterest.calls import Call
from tests.emulators.pinterest.faults import Answer, Effect, Mangle, Redirect, Reset, Stall
from tests.emulators.pinterest.operations import Operation
from tests.emulators.pinterest.refusals import CODES
from tests.emulators.server import reset

# How often a request that is never answered looks whether its sender has left, in seconds.
_WATCH = 0.05
_ESTABLISHED = 1
# The id in the answer to a creation that did not take place.
_MADE_UP_ID = "549755885175999999"


@dataclass(kw_only=True)
class Outcome:
    """The response to send: its status and its JSON object."""

    status: int
    content: dict[str, Any]


@dataclass(kw_only=True)
class Exchange:
    """One request on its way. `echo` quotes its records for an error's message when the emulator is to leak them.

    `outcome` is None until it is carried out; `answered` becomes False when the sender never gets an answer.
    """

    request: web.Request
    operation: Operation
    call: Call
    headers: dict[str, str]
    user: User = USER
    body: Any = None
    echo: str = ""
    outcome: Outcome | None = None
    answered: bool = True

    def respond(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> web.Response:
        all_headers = {"Content-Type": "application/json", **self.headers, **(headers or {})}
        return web.Response(status=status, body=body, headers=all_headers)

    def respond_json(self, outcome: Outcome, headers: Mapping[str, str] | None = None) -> web.Response:
        return self.respond(outcome.status, json.dumps(outcome.content).encode(), headers)

    def error(self, code: int, message: str) -> dict[str, Any]:
        return {"code": code, "message": message + self.echo}


async def perform(effect: Effect, exchange: Exchange) -> web.StreamResponse | None:
    """Carry out `effect`; None when the request goes on as usual."""
    match effect:
        case Answer():
            headers = {}
            if effect.retry_after is not None:
                # Whole seconds both: rounded up, a date is never earlier than asked for.
                date = email.utils.formatdate(int(time.time()) + effect.retry_after + 1, usegmt=True)
                headers["Retry-After"] = date if effect.retry_after_is_date else str(effect.retry_after)
            code = CODES.get(effect.status, 0) if effect.code is None else effect.code
            body = json.dumps(exchange.error(code, effect.message)) if effect.body is None else effect.body
            return exchange.respond(effect.status, body.encode(), headers)
        case Redirect():
            return exchange.respond(effect.status, b"", {"Location": effect.location})
        case Mangle():
            return await _mangle(effect.how, exchange)
        case Reset():
            return drop(exchange)
        case Stall():
            return await _stall(exchange)


def drop(exchange: Exchange) -> web.StreamResponse:
    """Reset the connection; the response that is returned never arrives."""
    exchange.answered = False
    return reset(exchange.request)


async def _stall(exchange: Exchange) -> web.StreamResponse:
    exchange.answered = False
    transport = exchange.request.transport
    if transport is not None:
        while not _has_left(transport):
            await asyncio.sleep(_WATCH)
        transport.abort()
    return web.Response()


def _has_left(transport: asyncio.Transport) -> bool:
    if transport.is_closing():
        return True
    with contextlib.suppress(OSError, AttributeError):  # TCP_INFO is Linux's
        channel: socket.socket = transport.get_extra_info("socket")
        return channel.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != _ESTABLISHED
    return False


async def _mangle(how: str, exchange: Exchange) -> web.StreamResponse | None:
    outcome = exchange.outcome
    if outcome is None:
        ids = exchange.request.match_info
        made_up = ids.get("customer_list_id") or ids.get("audience_id") or _MADE_UP_ID
        outcome = Outcome(status=200, content={"id": made_up, "exceptions": {}})
    if outcome.status >= 300:
        return None
    content = outcome.content
    match how:
        case "truncated":
            return await _truncate(exchange, outcome)
        case "not_json":
            return exchange.respond(outcome.status, f"<html><body>Welcome{exchange.echo}</body></html>".encode())
        case "no_id":
            content = {name: value for name, value in content.items() if name != "id"}
        case "exceptions":
            message = f"Some records were not processed.{exchange.echo}"
            content = content | {"exceptions": {"code": 400, "message": message}}
        case "error_body":
            content = exchange.error(1, "Invalid request")
    return exchange.respond_json(Outcome(status=outcome.status, content=content))


async def _truncate(exchange: Exchange, outcome: Outcome) -> web.StreamResponse:
    body = json.dumps(outcome.content).encode()
    response = web.StreamResponse(
        status=outcome.status, headers={"Content-Type": "application/json", **exchange.headers}
    )
    response.content_length = len(body)
    response.force_close()
    await response.prepare(exchange.request)
    await response.write(body[: len(body) // 2])
    return response
