"""A run that was stopped."""

from collections.abc import Iterator

import pytest

from td_pinterest_op.runtime import shutdown


@pytest.fixture
def stopped_run() -> Iterator[None]:
    shutdown.request_end("SIGTERM")
    yield
    shutdown.clear_request()
