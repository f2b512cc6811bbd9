"""The way to Treasure Data: connections through the proxy, and with the certificates, that the environment names."""

from __future__ import annotations

import os
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import requests.utils
import urllib3

from td_pinterest_op.errors import SettingsError
from td_pinterest_op.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """How requests reach an endpoint; `through` names hosts and ports for messages."""

    pool: urllib3.PoolManager
    through: str


def route(endpoint: str, *, connect_timeout: float, read_timeout: float) -> Route:
    """The route to `endpoint`; time-outs in seconds.

    td-client itself knows HTTP_PROXY only, and no certificates but its own. Here HTTPS_PROXY, ALL_PROXY, NO_PROXY,
    REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE mean what they mean to requests, and SSL_CERT_FILE what it means to OpenSSL.

    Raises SettingsError for a proxy that cannot be used.
    """
    environment = requests.Session().merge_environment_settings(endpoint, {}, None, None, None)
    options: dict[str, Any] = {
        "timeout": urllib3.Timeout(connect=connect_timeout, read=read_timeout),
        **_certificates(environment["verify"]),
    }
    # Plain http is for this machine alone, and no proxy should see it.
    proxy = requests.utils.select_proxy(endpoint, environment["proxies"]) if endpoint.startswith("https:") else None
    if not proxy:
        return Route(pool=urllib3.PoolManager(**options), through=_address(endpoint))
    return Route(pool=_proxied(proxy, options), through=f"{_address(endpoint)} through the proxy {_address(proxy)}")


def _certificates(verify: object) -> dict[str, str]:
    file = (
        verify if isinstance(verify, str) else os.environ.get("SSL_CERT_FILE") or requests.utils.DEFAULT_CA_BUNDLE_PATH
    )
    return {"cert_reqs": "CERT_REQUIRED", "ca_cert_dir" if Path(file).is_dir() else "ca_certs": file}


def _proxied(proxy: str, options: dict[str, Any]) -> urllib3.PoolManager:
    url = proxy if "://" in proxy else f"http://{proxy}"
    if not url.startswith(("http://", "https://")):
        raise SettingsError("the proxy for Treasure Data (HTTPS_PROXY or ALL_PROXY) must be an http or https address")
    user, password = requests.utils.get_auth_from_url(url)
    if user:
        Secret(password)  # known from here on, and masked
        options = {**options, "proxy_headers": urllib3.make_headers(proxy_basic_auth=f"{user}:{password}")}
    parts = urllib.parse.urlsplit(url)
    return urllib3.ProxyManager(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", **options)


def _address(url: str) -> str:
    """Host and port: no user, no password, no path."""
    parts = urllib.parse.urlsplit(url if "://" in url else f"http://{url}")
    return f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
