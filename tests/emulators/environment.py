"""The environment and the local secrets with which operator and digdag find the emulators instead of the services."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from tests.emulators.pinterest import CLIENT_ID, CLIENT_SECRET, CONSENT_PATH, REFRESH_TOKEN
from tests.emulators.td import API_KEY

# The workflow's secrets, by the variable that holds each.
SECRETS = {
    "td.apikey": "TD_API_KEY",
    "pinterest.client_id": "PINTEREST_CLIENT_ID",
    "pinterest.client_secret": "PINTEREST_CLIENT_SECRET",
    "pinterest.refresh_token": "PINTEREST_REFRESH_TOKEN",
}
# On the PYTHONPATH of a process: makes its clocks run faster.
FAST_CLOCK = str(Path(__file__).parent.parent / "fast_clock")


def environment(*, td_url: str, pinterest_endpoint: str) -> dict[str, str]:
    """Endpoints and credentials, under the names that the operator reads."""
    return {
        "TD_API_SERVER": td_url,
        "TD_API_KEY": API_KEY,
        "PINTEREST_API_ENDPOINT": pinterest_endpoint,
        "PINTEREST_OAUTH_URL": pinterest_endpoint.removesuffix("/v5") + CONSENT_PATH,
        "PINTEREST_CLIENT_ID": CLIENT_ID,
        "PINTEREST_CLIENT_SECRET": CLIENT_SECRET,
        "PINTEREST_REFRESH_TOKEN": REFRESH_TOKEN,
    }


def digdag_home(
    folder: Path, environ: Mapping[str, str], *, secrets: Mapping[str, str] = MappingProxyType(SECRETS)
) -> dict[str, str]:
    """Make a folder of local secrets, as `digdag secrets --local --set` does; returns the variables that point there.

    `secrets`: their names, and the variable of each. Next to them it holds where td> finds Treasure Data.
    """
    home = folder / "digdag" / "secrets"
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    host = environ["TD_API_SERVER"].removeprefix("http://").rstrip("/")
    values = {name: environ[variable] for name, variable in secrets.items()}
    for name, value in (values | {"td.endpoint": host, "td.use_ssl": "false"}).items():
        (home / name).write_text(value)
    # ~/.td/td.conf would win over these secrets.
    return {"DIGDAG_CONFIG_HOME": str(home.parent), "TREASURE_DATA_CONFIG_PATH": str(folder / "no-td.conf")}
