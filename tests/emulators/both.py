"""Both emulators at once, as the sandbox and the bench need them."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from tests.emulators.environment import environment
from tests.emulators.pinterest import AD_ACCOUNT_ID, Pinterest, serve_pinterest
from tests.emulators.td import TreasureData, serve_td

TABLE = "people"
AUDIENCE_NAME = "Sandbox customers"


@dataclass(frozen=True, kw_only=True)
class Emulators:
    """Both emulators while they are served. `environment` holds their addresses and credentials."""

    td: TreasureData
    pinterest: Pinterest
    environment: dict[str, str]


@contextlib.contextmanager
def serve_emulators(
    *, switches: Mapping[str, Any] = MappingProxyType({}), audience: str | None = AUDIENCE_NAME
) -> Iterator[Emulators]:
    """Serve both emulators, Pinterest with one audience, if that has a name."""
    with serve_td() as (td, td_url), serve_pinterest() as (pinterest, endpoint):
        pinterest.switches.set(switches)
        environ = environment(td_url=td_url, pinterest_endpoint=endpoint) | {"PINTEREST_AD_ACCOUNT_ID": AD_ACCOUNT_ID}
        if audience:
            customers = pinterest.add_audience(audience, customer_list_id=pinterest.add_list(audience).id)
            environ["PINTEREST_AUDIENCE_ID"] = customers.id
        yield Emulators(td=td, pinterest=pinterest, environment=environ)
