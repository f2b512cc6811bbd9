"""The Pinterest emulator: one object that holds everything, and a server around it."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from aiohttp import web

from tests.emulators.pinterest.callbacks import Callbacks
from tests.emulators.pinterest.calls import Call, CallLog
from tests.emulators.pinterest.consent import Consent
from tests.emulators.pinterest.faults import Answer, Fault, Faults, When
from tests.emulators.pinterest.gate import PREFIX, Gate
from tests.emulators.pinterest.limits import RateLimits
from tests.emulators.pinterest.switches import Switches
from tests.emulators.pinterest.tokens import Tokens
from tests.emulators.pinterest.world import World
from tests.emulators.server import serve

# Over the body of any batch; what a batch may hold is for `Switches.max_records` to say.
_LARGEST_BODY = 256 * 1024 * 1024


class Pinterest(World):
    """A Pinterest of one's own. Everything may be asked and changed from any thread while it is being served.

    `clock` gives seconds since 1970 (tokens, timestamps, statuses), `monotonic` the times of the log and of the rate
    limits. Made with one open ad account, AD_ACCOUNT_ID.
    """

    def __init__(
        self,
        *,
        switches: Switches | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        switches = switches or Switches()
        super().__init__(switches=switches, clock=clock)
        self.tokens = Tokens(switches=switches, clock=clock)
        self.faults = Faults()
        self.calls = CallLog(clock=monotonic)
        self.callbacks = Callbacks()
        self._gate = Gate(
            world=self,
            tokens=self.tokens,
            faults=self.faults,
            calls=self.calls,
            limits=RateLimits(switches=switches, clock=monotonic),
            callbacks=self.callbacks,
        )

    def app(self) -> web.Application:
        """The aiohttp application: the API under /v5, consent at /oauth/."""
        app = web.Application(client_max_size=_LARGEST_BODY)
        app.add_routes(self._gate.routes())
        app.add_routes(Consent(world=self, tokens=self.tokens).routes())
        return app

    def inject(self, *faults: Fault) -> None:
        """Add faults after those in force."""
        self.faults.add(*faults)

    def answer(self, status: int, **requests: Any) -> None:
        """Answer this status to the requests that match; `requests` are fields of a fault."""
        self.inject(Fault(effect=Answer(status=status), **requests))

    def on_request(self, callback: Callable[[Call], object], *, when: When = When.BEFORE) -> None:
        """Call back at a moment of every request until the test ends, in a thread of its own; the request waits for it.

        A callback that waits for something of the operator's does so with `callbacks.wait_while`.
        """
        self.callbacks.add(callback, when)


@contextlib.contextmanager
def serve_pinterest(*, state: Pinterest | None = None) -> Iterator[tuple[Pinterest, str]]:
    """Serve on 127.0.0.1; yields the emulator and its endpoint, which ends in /v5.

    Raises AssertionError at the end if a callback of `on_request` still waits.
    """
    pinterest = state or Pinterest()
    with serve(pinterest.app()) as url:
        try:
            yield pinterest, url + PREFIX
        finally:
            pinterest.callbacks.end()
