"""The checks of `doctor` that ask no service."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from td_pinterest_op.cli import checks


@pytest.mark.parametrize(
    ("environ", "status", "said"),
    [
        ({}, "ok", "none is set"),
        ({"HTTPS_PROXY": ""}, "ok", "none is set"),
        ({"https_proxy": "http://me:s3cr3t@proxy.test:3128"}, "ok", "https_proxy is http://proxy.test:3128"),
        ({"ALL_PROXY": "socks5h://[::1]:1080/"}, "ok", "ALL_PROXY is socks5h://[::1]:1080"),
        ({"HTTPS_PROXY": "proxy.test:3128"}, "error", "HTTPS_PROXY is not the address of a proxy"),
        ({"HTTPS_PROXY": "http://me:s3cr3t@proxy.test"}, "error", "HTTPS_PROXY is not the address of a proxy"),
        ({"HTTPS_PROXY": "http://proxy.test:99999"}, "error", "HTTPS_PROXY is not the address of a proxy"),
        ({"HTTPS_PROXY": "http://[proxy.test:3128"}, "error", "HTTPS_PROXY is not the address of a proxy"),
        ({"HTTPS_PROXY": "ftp://proxy.test:3128"}, "error", "HTTPS_PROXY is not the address of a proxy"),
    ],
)
def test_a_proxy_is_shown_without_its_password(environ: Mapping[str, str], status: str, said: str) -> None:
    check = checks.proxy(environ)
    assert (status, said) == (check.status, check.message)
