"""The bundled project, to run its .dig files between the emulators."""

from __future__ import annotations

from pathlib import Path

from tests.exporting import Services

ROOT = Path(__file__).parent.parent.parent
# The workflow's secrets, by the name that the emulators give to each in the environment.
SECRETS = {
    "td.apikey": "TD_API_KEY",
    "pinterest.client_id": "PINTEREST_CLIENT_ID",
    "pinterest.client_secret": "PINTEREST_CLIENT_SECRET",
    "pinterest.refresh_token": "PINTEREST_REFRESH_TOKEN",
}


def secrets(services: Services) -> dict[str, str]:
    return {name: services.environ[variable] for name, variable in SECRETS.items()}
