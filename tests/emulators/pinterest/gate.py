"""The steps of every request: log, rate limits, authorisation, body, faults, and the operation."""

import asyncio
import base64
import collections
import contextlib
import functools
import hmac
import json
from collections.abc import Iterator
from typing import Any

from aiohttp import web

from tests.emulators.pinterest.ad_operations import AD_OPERATIONS
from tests.emulators.pinterest.callbacks import Callbacks
from tests.emulators.pinterest.calls import CallLog
from tests.emulators.pinterest.effects import Exchange, Outcome, drop, perform
from tests.emulators.pinterest.faults import Faults, When
from tests.emulators.pinterest.limits import Admission, RateLimits
from tests.emulators.pinterest.operations import OPERATIONS, ApiRequest, Operation, Success
from tests.emulators.pinterest.refusals import RefusalError, invalid, not_found, throttled, unauthenticated
from tests.emulators.pinterest.shapes import is_audience_id, is_id
from tests.emulators.pinterest.tokens import CLIENT_ID, CLIENT_SECRET, Tokens
from tests.emulators.pinterest.world import World

PREFIX = "/v5"
_BASIC = "Basic " + base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
_BODY_METHODS = ("POST", "PATCH")
_QUOTED = 3
# How long a batch takes at least where too many at once are refused, in real seconds.
_MEETING = 0.5


def _nothing(api_request: ApiRequest) -> Success:
    raise not_found("Resource")


_UNKNOWN = Operation(id="unknown", method="*", path="/{tail:.*}", category="org_read", scope=None, carry_out=_nothing)


class Gate:
    """Lets requests in and answers them; lives on the server's event loop."""

    def __init__(
        self,
        *,
        world: World,
        tokens: Tokens,
        faults: Faults,
        calls: CallLog,
        limits: RateLimits,
        callbacks: Callbacks,
    ) -> None:
        self._world = world
        self._tokens = tokens
        self._faults = faults
        self._calls = calls
        self._limits = limits
        self._at_once: collections.Counter[str] = collections.Counter()
        self._callbacks = callbacks

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of all operations; other requests are logged and refused too."""
        return [
            web.route(operation.method, PREFIX + operation.path, functools.partial(self._handle, operation))
            for operation in (*OPERATIONS, *AD_OPERATIONS, _UNKNOWN)
        ]

    async def _handle(self, operation: Operation, request: web.Request) -> web.StreamResponse:
        path = request.path.removeprefix(PREFIX)
        call = self._calls.arrive(method=request.method, path=path, operation=operation.id, category=operation.category)
        exchange = Exchange(
            request=request, operation=operation, call=call, headers={"x-pinterest-rid": call.request_id}
        )
        status: int | None = None
        try:
            response = await self._answer(exchange)
            status = response.status if exchange.answered else None
            return response
        finally:
            self._calls.finish(call, status)

    async def _answer(self, exchange: Exchange) -> web.StreamResponse:
        admission = self._admit(exchange)
        response = self._oversized(exchange)
        if response is not None:
            return response
        try:
            await self._enter(exchange, admission)
        except RefusalError as error:
            return exchange.respond_json(_refusal(exchange, error))
        response = await self._moment(exchange, When.BEFORE)
        if response is not None:
            return response
        exchange.outcome = await self._carry_out_in_time(exchange)
        response = await self._moment(exchange, When.AFTER)
        return exchange.respond_json(exchange.outcome) if response is None else response

    def _admit(self, exchange: Exchange) -> Admission:
        category = exchange.operation.category
        admission = self._limits.admit(category)
        exchange.headers |= admission.headers(category, switches=self._world.switches)
        return admission

    async def _moment(self, exchange: Exchange, when: When) -> web.StreamResponse | None:
        await self._callbacks.call(exchange.call, when)
        met = self._faults.meet(lambda fault: fault.when is when and fault.matches(exchange.call))
        if met is None:
            return None
        exchange.call.fault = type(met.effect).__name__
        return await perform(met.effect, exchange)

    def _oversized(self, exchange: Exchange) -> web.StreamResponse | None:
        """Drop a body that is too large to be read; None for one that may be read."""
        largest = self._world.switches.largest_body
        is_oversized = largest is not None and (exchange.request.content_length or 0) > largest
        return drop(exchange) if is_oversized else None

    async def _enter(self, exchange: Exchange, admission: Admission) -> None:
        """Authorise the sender and read the body. Raises the refusal of either."""
        if not admission.admitted:
            raise throttled()
        request = exchange.request
        operation = exchange.operation
        if operation is _UNKNOWN:
            raise not_found("Resource")
        authorization = request.headers.get("Authorization", "")
        if operation.scope is not None:
            exchange.user = self._tokens.check(authorization.removeprefix("Bearer "), operation.scope)
        elif not hmac.compare_digest(authorization.encode(), _BASIC.encode()):
            raise unauthenticated()
        if request.method in _BODY_METHODS:
            exchange.body = await _read(request, is_form=operation.scope is None)
            self._look_into(exchange)

    def _look_into(self, exchange: Exchange) -> None:
        body = exchange.body if isinstance(exchange.body, dict) else {}
        records = body.get("records")
        rows = body.get("records_v2")
        operation_type = body.get("operation_type")
        call = exchange.call
        quoted = []
        call.operation_type = operation_type if isinstance(operation_type, str) else None
        if isinstance(records, str) and records:
            call.records = call.keys = records.count(",") + 1
            quoted = records.split(",", _QUOTED)[:_QUOTED]
        elif isinstance(rows, list):
            call.records = len(rows)
            call.keys = sum(len(row) for row in rows if isinstance(row, dict))
            quoted = [json.dumps(row) for row in rows[:_QUOTED]]
        if quoted and self._world.switches.echo_records_in_errors:
            exchange.echo = f" Received: {', '.join(quoted)}"

    async def _carry_out_in_time(self, exchange: Exchange) -> Outcome:
        """Carry a request out after the time that it takes, unless too many batches for its list are under way."""
        switches = self._world.switches
        call = exchange.call
        is_batch = switches.batches_at_once is not None and call.operation == "customer_lists/update"
        with self._under_way(call.path) as number:
            if is_batch and number > (switches.batches_at_once or 0):
                return _refusal(exchange, throttled())
            seconds = max(switches.latency_seconds, _MEETING if is_batch else 0.0)
            if call.is_write and seconds:
                await asyncio.sleep(seconds)
            return self._carry_out(exchange)

    @contextlib.contextmanager
    def _under_way(self, path: str) -> Iterator[int]:
        """Counts the requests to one path that are being carried out."""
        self._at_once[path] += 1
        try:
            yield self._at_once[path]
        finally:
            self._at_once[path] -= 1

    def _carry_out(self, exchange: Exchange) -> Outcome:
        request = exchange.request
        api_request = ApiRequest(
            world=self._world,
            tokens=self._tokens,
            user=exchange.user,
            ids=request.match_info,
            query=request.query,
            body=exchange.body,
        )
        try:
            with self._world.lock:
                _check_ids(api_request, writes=exchange.call.is_write)
                done = exchange.operation.carry_out(api_request)
        except RefusalError as error:
            return _refusal(exchange, error)
        return Outcome(status=self._world.switches.created_status if done.creates else 200, content=done.content)


def _check_ids(api_request: ApiRequest, *, writes: bool) -> None:
    for name, value in api_request.ids.items():
        if not (is_audience_id if name == "audience_id" else is_id)(value):
            raise invalid(f"{name} must be a string of digits, at most 18 but for an audience's")
    if "ad_account_id" in api_request.ids:
        api_request.world.require_account(api_request.account_id, api_request.user, writes=writes)


def _refusal(exchange: Exchange, error: RefusalError) -> Outcome:
    return Outcome(status=error.status, content=exchange.error(error.code, error.message))


async def _read(request: web.Request, *, is_form: bool) -> Any:
    if is_form:
        if request.content_type != "application/x-www-form-urlencoded":
            raise invalid("the body must be a form")
        return dict(await request.post())
    if request.content_type != "application/json":
        raise invalid("the content type must be application/json")
    try:
        return json.loads(await request.read())
    except ValueError as cause:
        raise invalid("the body is not JSON") from cause
