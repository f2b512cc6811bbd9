"""The emulator behind a real socket."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tests.emulators.server import serve
from tests.emulators.td.app import treasure_data_app
from tests.emulators.td.state import TreasureData


@contextlib.contextmanager
def serve_td(*, port: int = 0, state: TreasureData | None = None) -> Iterator[tuple[TreasureData, str]]:
    """Serve an account on 127.0.0.1; yields it and the URL to put into `TD_API_SERVER`, which ends in a slash."""
    account = TreasureData() if state is None else state
    try:
        with serve(treasure_data_app(account), port=port) as url:
            yield account, f"{url}/"
    finally:
        account.close()
