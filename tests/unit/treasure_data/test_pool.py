"""Proxies and certificates of the environment, on the way to Treasure Data."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import urllib3

from td_pinterest_op.errors import SettingsError, TreasureDataError
from td_pinterest_op.retry import Retry
from td_pinterest_op.secret import Secret, mask
from td_pinterest_op.treasure_data.api import TreasureData
from td_pinterest_op.treasure_data.pool import Route, route
from tests import children
from tests.clock import FakeTime

US = "https://api.treasuredata.com/"


def way(endpoint: str = US) -> Route:
    return route(endpoint, connect_timeout=1, read_timeout=1)


@pytest.mark.parametrize(
    ("environ", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://proxy.example:3128"}, "proxy.example:3128"),
        ({"https_proxy": "proxy.example:3128"}, "proxy.example:3128"),
        ({"ALL_PROXY": "https://proxy.example"}, "proxy.example:443"),
        ({"HTTPS_PROXY": "http://u:pw@proxy.example:3128/x"}, "proxy.example:3128"),
        ({"HTTP_PROXY": "http://proxy.example:3128"}, None),
        ({"HTTPS_PROXY": "http://proxy.example:3128", "NO_PROXY": "treasuredata.com"}, None),
        ({"HTTPS_PROXY": "http://proxy.example:3128", "no_proxy": ".treasuredata.com,x"}, None),
        ({"HTTPS_PROXY": "http://proxy.example:3128", "NO_PROXY": "elsewhere.com"}, "proxy.example:3128"),
        ({"HTTPS_PROXY": ""}, None),
    ],
)
def test_the_proxy_is_that_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], proxy: str | None
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    taken = way()
    assert isinstance(taken.pool, urllib3.ProxyManager) is (proxy is not None)
    expected = "api.treasuredata.com:443" + (f" through the proxy {proxy}" if proxy else "")
    assert expected == taken.through


def test_this_machine_is_reached_without_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://proxy.example:3128")
    assert "127.0.0.1:8000" == way("http://127.0.0.1:8000/").through


def test_the_password_of_a_proxy_is_sent_to_it_and_hidden_everywhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:pr0xy%2Fs3cr3t@proxy.example:3128")
    pool = way().pool
    assert isinstance(pool, urllib3.ProxyManager)
    expected = urllib3.make_headers(proxy_basic_auth="user:pr0xy/s3cr3t")
    assert expected == dict(pool.proxy_headers)
    assert "***" == mask("pr0xy/s3cr3t")


def test_a_proxy_of_another_kind_is_an_error_that_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://proxy.example:1080")
    with pytest.raises(SettingsError, match="HTTPS_PROXY or ALL_PROXY"):
        way()


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_certificates_are_those_of_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    (tmp_path / "ca.pem").write_text("")
    monkeypatch.setenv(name, str(tmp_path / "ca.pem"))
    assert str(tmp_path / "ca.pem") == way().pool.connection_pool_kw["ca_certs"]
    monkeypatch.setenv(name, str(tmp_path))
    assert str(tmp_path) == way().pool.connection_pool_kw["ca_cert_dir"]


class _Answering(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"status": "ok"}')

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the class above
        pass


class _Server(HTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        pass  # a client that refuses the certificate


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of localhost that nobody has signed but itself, and its key."""
    file = tmp_path_factory.mktemp("tls") / "localhost.pem"
    key = file.with_suffix(".key")
    options = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    command = ["openssl", *options.split(), "-keyout", str(key), "-out", str(file)]
    children.run(command).check_returncode()
    return file


@pytest.fixture
def https(certificate: Path) -> Iterator[str]:
    """The URL of a server with that certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    server = _Server(("127.0.0.1", 0), _Answering)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"https://localhost:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


def client(endpoint: str, time: FakeTime) -> TreasureData:
    return TreasureData(
        api_key=Secret("1/unused"),
        endpoint=endpoint,
        connect_timeout=5,
        read_timeout=5,
        retry=Retry(count=3, initial_wait=1, longest_wait=10, random=lambda: 0.0),
        timing=time.timing,
    )


def test_a_certificate_that_is_not_trusted_is_an_error_at_once(https: str, fake_time: FakeTime) -> None:
    with pytest.raises(TreasureDataError) as caught:
        client(https, fake_time).call("GET", "/v3/x")
    assert f"the certificate of {https[8:-1]} is not accepted" in str(caught.value)
    assert "REQUESTS_CA_BUNDLE or SSL_CERT_FILE" in str(caught.value)
    assert [] == fake_time.slept


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_a_certificate_that_the_environment_trusts_is_accepted(
    monkeypatch: pytest.MonkeyPatch, https: str, fake_time: FakeTime, certificate: Path, name: str
) -> None:
    monkeypatch.setenv(name, str(certificate))
    assert (200, {"status": "ok"}) == client(https, fake_time).call("GET", "/v3/x")


def test_a_connection_that_fails_names_host_port_and_cause(fake_time: FakeTime) -> None:
    with pytest.raises(TreasureDataError, match=r"no response \(NewConnectionError.*\) from 127\.0\.0\.1:9 to GET"):
        client("http://127.0.0.1:9", fake_time).call("GET", "/v3/x")
