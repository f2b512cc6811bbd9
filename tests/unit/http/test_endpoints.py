"""URLs that are safe for secrets, and the environment's proxies."""

import pytest

from td_pinterest_op.http.endpoints import find_proxy_url_and_address, is_safe_for_secrets


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://api.pinterest.com/v5", True),
        ("http://127.0.0.1:8080/v5", True),
        ("http://localhost:8080", True),
        ("http://[::1]:8080", True),
        ("http://api.pinterest.com/v5", False),
        ("http://localhost.attacker.test", False),
        ("http://attacker.test\\@localhost/", False),
        ("https://attacker.test\\@api.pinterest.com", False),
        ("http://localhost#@attacker.test", True),
        ("http://user@localhost", False),
        ("http://0.0.0.0:8080", False),
        ("http://[::1", False),
        ("api.pinterest.com", False),
    ],
)
def test_secrets_go_by_https_or_to_this_machine_only(url: str, expected: bool) -> None:
    assert is_safe_for_secrets(url) is expected


@pytest.mark.parametrize(
    ("proxy", "expected"),
    [
        ("http://proxy.test:8080", "proxy.test:8080"),
        ("https://user:s3cr3t@proxy.test", "proxy.test:443"),
        ("proxy.test:8080", "proxy.test:8080"),
        ("", ""),
        ("socks5://proxy.test:1080", None),
        ("http://[proxy:8080", None),
        ("http://proxy.test:99999", None),
    ],
)
def test_proxy_is_found_or_refused(monkeypatch: pytest.MonkeyPatch, proxy: str, expected: str | None) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    if expected is not None:
        assert find_proxy_url_and_address("https://api.pinterest.com/v5") == (proxy, expected)
        return
    with pytest.raises(ValueError, match=r"[Pp]ort|IPv6|proxy"):
        find_proxy_url_and_address("https://api.pinterest.com/v5")
