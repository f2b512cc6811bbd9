"""Runs both emulators until it is interrupted: `python -m tests.emulators`.

Prints, as lines a shell can read, the environment in which the operator finds them, and as comments how to see what
Pinterest holds, and what can be done to it.
"""

import argparse
import contextlib
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.emulators.environment import environment
from tests.emulators.people import write_lists, write_people
from tests.emulators.pinterest import AD_ACCOUNT_ID, CONTROLS, Pinterest, Switches, serve_pinterest
from tests.emulators.pinterest.like import switches_like
from tests.emulators.td import TreasureData, serve_td

DATABASE = "sandbox"
TABLE = "people"
AUDIENCE_NAME = "Sandbox customers"


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; returns the exit code: 0, or 1 if a port is taken or a file missing."""
    options = _parse(arguments)
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            serve_emulators(
                td_port=options.td_port,
                pinterest_port=options.pinterest_port,
                switches=switches_like(options.like) if options.like else {},
            ) as emulators,
        ):
            data = options.data or write_people(Path(folder) / "people.parquet", rows=options.rows)
            lists = {} if options.data else write_lists(data)
            for table, file in {TABLE: data, **lists}.items():
                emulators.td.warehouse.load_file(DATABASE, table, file)
            for name, value in emulators.environment.items():
                print(f"export {name}={value}")
            print("\n".join(f"# {line}".rstrip() for line in guide_lines(emulators.environment)), flush=True)
            stopped.wait()
    except (OSError, ValueError) as error:
        print(f"cannot start: {error}", file=sys.stderr)
        return 1
    return 0


def guide_lines(environment: Mapping[str, str]) -> list[str]:
    """Return lines about what a person can do with the emulator of Pinterest."""
    address = environment["PINTEREST_API_ENDPOINT"].removesuffix("/v5")
    return [
        f"The consent page: {environment['PINTEREST_OAUTH_URL']} (redirect {', '.join(Switches().redirect_uris)})",
        "Test controls, JSON over HTTP:",
        *(f"  {method:6} {address}{path:18} {what} {body}" for method, path, what, body in CONTROLS),
    ]


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.emulators", description=__doc__)
    parser.add_argument(
        "--td-port", type=int, default=0, help="port of the Treasure Data emulator (default: a free one)"
    )
    parser.add_argument("--pinterest-port", type=int, default=0, help="port of the Pinterest emulator")
    parser.add_argument(
        "--rows", type=int, default=100_000, help=f"made-up rows in {DATABASE}.{TABLE}, beside opt_outs and consents"
    )
    parser.add_argument("--data", type=Path, help="a CSV (with a header) or Parquet file to load instead of those")
    parser.add_argument("--like", type=Path, help="a rehearsal.json: Pinterest behaves as that file describes")
    return parser.parse_args(arguments)


@dataclass(frozen=True, kw_only=True)
class Emulators:
    """Both emulators while they are served. `environment` holds their addresses and credentials."""

    td: TreasureData
    pinterest: Pinterest
    environment: dict[str, str]


@contextlib.contextmanager
def serve_emulators(
    *,
    td_port: int = 0,
    pinterest_port: int = 0,
    switches: Mapping[str, Any] = MappingProxyType({}),
    audience: str | None = AUDIENCE_NAME,
) -> Iterator[Emulators]:
    """Serve both emulators, Pinterest with one audience, if that has a name. Raises OSError when a port is taken."""
    td = TreasureData()
    pinterest = Pinterest()
    pinterest.switches.set(switches)
    with (
        serve_td(port=td_port, state=td) as (_, td_url),
        serve_pinterest(port=pinterest_port, state=pinterest) as (_, endpoint),
    ):
        environ = environment(td_url=td_url, pinterest_endpoint=endpoint) | {"PINTEREST_AD_ACCOUNT_ID": AD_ACCOUNT_ID}
        if audience:
            customers = pinterest.add_audience(audience, customer_list_id=pinterest.add_list(audience).id)
            environ["PINTEREST_AUDIENCE_ID"] = customers.id
        yield Emulators(td=td, pinterest=pinterest, environment=environ)


if __name__ == "__main__":
    sys.exit(main())
