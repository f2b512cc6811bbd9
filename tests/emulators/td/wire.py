"""Responses in bytes, also faulty ones: ranges, truncated bodies, connections that are reset."""

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from tests.emulators.td.faults import Fault
from tests.emulators.td.output import Body


def error(
    status: int, text: str, *, headers: Mapping[str, str] | None = None, details: Mapping[str, str] | None = None
) -> web.Response:
    """Treasure Data's error JSON."""
    payload = {"error": text, "text": text, "severity": "error", "details": dict(details or {})}
    return web.json_response(payload, status=status, headers=headers)


def answer(payload: Any) -> web.Response:
    return web.Response(body=json.dumps(payload).encode(), content_type="application/json")


def requested_part(request: web.Request, length: int | None) -> slice | None:
    """Return the part of a body that a Range header requests, None for all of it. Raises ValueError beyond the end."""
    requested = request.http_range
    if length is None or (requested.start is None and requested.stop is None):
        return None
    start, stop, _ = requested.indices(length)
    if start >= stop:
        raise ValueError(f"bytes */{length}")
    return slice(start, stop)


async def send_part(request: web.Request, body: Body, *, fault: Fault | None) -> web.StreamResponse:
    """Serve a result, or the requested part of it: 200, 206, 416, or 400 for a malformed Range."""
    try:
        request.http_range  # noqa: B018 – raises for nonsense
    except ValueError:
        return error(400, "Range is malformed")
    try:
        part = requested_part(request, body.length)
    except ValueError as beyond:
        return error(416, "Range is past the end of the result", headers={"Content-Range": str(beyond)})
    headers = {"Content-Type": "application/octet-stream"}
    if part is None:
        return await send(request, body, part=slice(0, body.length), headers=headers, fault=fault)
    headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{body.length}"
    return await send(request, body, part=part, status=206, headers=headers, fault=fault)


async def send(
    request: web.Request,
    body: Body,
    *,
    part: slice,
    headers: Mapping[str, str],
    status: int = 200,
    fault: Fault | None = None,
) -> web.StreamResponse:
    """Send a part of a body; with a fault, only up to its mark."""
    length = None if part.stop is None else part.stop - part.start
    response = web.StreamResponse(status=status, headers=headers)
    if length is not None:
        response.content_length = length
    await response.prepare(request)
    mark = part.stop if fault is None else part.start + fault.mark(length or 0)
    await _write(response, body, part.start, mark)
    if fault is not None and request.transport is not None:
        # close(), not abort(): what was written before the mark is to arrive.
        request.transport.close()
    return response


async def _write(response: web.StreamResponse, body: Body, start: int, stop: int | None) -> None:
    if stop is not None and start >= stop:
        return
    for chunk in body.chunks(start, stop):
        await response.write(chunk)
