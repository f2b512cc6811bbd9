"""Where requests may go: URLs that are safe for secrets, and the environment's proxies."""

import contextlib
import ipaddress
import re
from urllib.parse import urlsplit

import requests

from td_pinterest_op.errors import SettingsError
from td_pinterest_op.redaction.secret import Secret

_HOST_PATTERN = re.compile(r"(?:[\w.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?")


def is_safe_for_secrets(url: str) -> bool:
    """Whether secrets may be sent to a URL: to https, or by plain http to this machine's loopback address."""
    with contextlib.suppress(ValueError):
        parts = urlsplit(url)
        # A host and a port, nothing that two parsers could read in two ways.
        if _HOST_PATTERN.fullmatch(parts.netloc):
            return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(url))
    return False


def require_safe_for_secrets(url: str, *, name: str) -> None:
    """Raise SettingsError, whose key is the `name` of a URL, unless secrets may be sent to it."""
    if not is_safe_for_secrets(url):
        raise SettingsError(f"{name} must be an https address (http is allowed only for this machine)", key=name)


def find_proxy_url_and_address(url: str) -> tuple[str, str]:
    """Return the environment's proxy for `url`: its URL and its address, such as "proxy.test:8080", or "" and "".

    From then on, the proxy's password is masked in logs and errors. Raises ValueError for a proxy that cannot be used:
    SOCKS, whose connections have no time limits, or a URL without a host.
    """
    # At a proxy, the loopback address would be the proxy's own.
    proxies = {} if _is_loopback(url) else requests.utils.get_environ_proxies(url)
    proxy = requests.utils.select_proxy(url, proxies)
    if not proxy:
        return "", ""
    Secret(requests.utils.get_auth_from_url(proxy)[1])
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("a proxy must be named as http://HOST:PORT")
    return proxy, f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


def _is_loopback(url: str) -> bool:
    with contextlib.suppress(ValueError):
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    return False
