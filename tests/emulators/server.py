"""Serves an aiohttp application on the loop-back interface."""

import asyncio
import contextlib
import secrets
import socket
import struct
import sys
import threading
from collections.abc import Iterator

from aiohttp import web


async def _listen(app: web.Application) -> tuple[web.AppRunner, int]:
    # A handler that hangs on purpose (a stalled server) must not hold up the end of a test.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handle_signals=False)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, reuse_address=True)
    await site.start()
    return runner, int(runner.addresses[0][1])


async def _stop(runner: web.AppRunner) -> None:
    for site in list(runner.sites):
        await site.stop()
    assert runner.server, "it has been set up"
    transports = [connection.transport for connection in runner.server.connections]
    await runner.cleanup()
    # What a client never reads would keep its connection open, to be reported in whatever test comes next.
    for transport in transports:
        if transport:
            transport.abort()
    # asyncio would log a handler that still hangs when it is collected, which may be in the middle of another test.
    hanging = asyncio.all_tasks() - {asyncio.current_task()}
    for task in hanging:
        task.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)
    await asyncio.sleep(0)  # an aborted transport closes its socket in the loop's next round


def _run(loop: asyncio.AbstractEventLoop) -> None:
    # Coverage would follow every line of the server, which takes as long again and shows nothing about the operator.
    sys.settrace(None)
    loop.run_forever()


def free_port() -> int:
    """Return a free port below those that a kernel gives to sockets without one: none of them takes it meanwhile."""
    while True:
        port = 15_000 + secrets.randbelow(15_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


@contextlib.contextmanager
def serve(app: web.Application) -> Iterator[str]:
    """Serve `app` on 127.0.0.1 in a thread of its own; yields the base URL without a trailing slash."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=_run, args=(loop,), name="emulator", daemon=True)
    thread.start()
    try:
        runner, bound = asyncio.run_coroutine_threadsafe(_listen(app), loop).result()
        try:
            yield f"http://127.0.0.1:{bound}"
        finally:
            asyncio.run_coroutine_threadsafe(_stop(runner), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def reset(request: web.Request) -> web.Response:
    """Tear the connection down so that the client gets a reset, not an end; the response returned never arrives."""
    transport = request.transport
    if transport is not None:
        # A socket that does not linger closes with a reset and not an orderly end.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response()
