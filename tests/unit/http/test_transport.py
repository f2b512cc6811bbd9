"""One HTTP request, with peers that misbehave: real sockets on loop-back, limits of a fraction of a second."""

import contextlib
import gc
import gzip
import resource
import socket
import ssl
import struct
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from requests.auth import AuthBase

from td_pinterest_op.http.transport import (
    Failure,
    NoResponseError,
    Response,
    Transport,
    _OversizedError,
    _StallLimitedResponse,
)
from td_pinterest_op.redaction.secret import mask_sensitive_data
from tests import children

LIMIT = 0.3
GENEROUS = 20.0
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nx-pinterest-rid: r1\r\n\r\n{}"


Serve = Callable[["Peer", socket.socket], None]


class Peer:
    """A server that does with each connection what it is told; `at_end` is set when the test is over."""

    def __init__(self, serve: Serve, *, receive_buffer: int | None = None) -> None:
        self._serve = serve
        self.at_end = threading.Event()
        self.heard: list[bytes] = []
        self.connections = 0
        self._listener = socket.socket()
        if receive_buffer:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            if self.at_end.is_set():
                connection.close()
                return
            self.connections += 1
            self._open.append(connection)
            self._threads.append(threading.Thread(target=self._run, args=(connection,)))
            self._threads[-1].start()

    def _run(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            self._serve(self, connection)

    def head(self, connection: socket.socket) -> bytes:
        """A request's head, and what of its body came with it."""
        data = b""
        while b"\r\n\r\n" not in data and (piece := connection.recv(65_536)):
            data += piece
        self.heard.append(data)
        return data

    def close(self) -> None:
        self.at_end.set()
        host, port = self.address.split(":")
        socket.create_connection((host, int(port))).close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(timeout=10)
        self._listener.close()


def peer(serve: Serve, *, receive_buffer: int | None = None) -> contextlib.closing[Peer]:
    return contextlib.closing(Peer(serve, receive_buffer=receive_buffer))


def transport(
    *, connect: float = GENEROUS, write: float = GENEROUS, read: float = GENEROUS
) -> contextlib.closing[Transport]:
    made = Transport(connect_timeout=connect, write_timeout=write, read_timeout=read, connections=2)
    return contextlib.closing(made)


class Token(AuthBase):
    """Credentials of a request."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = "Bearer token"
        return request


def exchange(by: Transport, address: str, *, body: bytes | None = None, scheme: str = "http") -> Response:
    return by.send("PATCH", f"{scheme}://{address}/v5/x", headers={"X": "y"}, body=body, auth=Token())


def failure_of(by: Transport, address: str, *, body: bytes | None = None, scheme: str = "http") -> Failure:
    with pytest.raises(NoResponseError) as caught:
        exchange(by, address, body=body, scheme=scheme)
    assert caught.value.__cause__ is None
    assert str(caught.value).startswith(f"{caught.value.failure.value}: {address}")
    return caught.value.failure


# -- what peers do


def answers(this: Peer, connection: socket.socket) -> None:
    while this.head(connection):
        connection.sendall(ANSWER.replace(b"r1", b"r%d" % len(this.heard)))


def never_reads(this: Peer, connection: socket.socket) -> None:
    this.at_end.wait(GENEROUS)


def never_answers(this: Peer, connection: socket.socket) -> None:
    this.head(connection)
    this.at_end.wait(GENEROUS)


def answers_once(this: Peer, connection: socket.socket) -> None:
    this.head(connection)
    connection.sendall(ANSWER)
    never_answers(this, connection)


def reads_slowly(this: Peer, connection: socket.socket) -> None:
    left = BODY - len(this.head(connection).split(b"\r\n\r\n")[1])
    while left > 0 and not this.at_end.wait(LIMIT / 6):
        left -= len(connection.recv(131_072))
    connection.sendall(ANSWER)


def answers_slowly(this: Peer, connection: socket.socket) -> None:
    this.head(connection)
    for byte in ANSWER:
        connection.sendall(bytes([byte]))
        this.at_end.wait(LIMIT / 20)


def resets(this: Peer, connection: socket.socket) -> None:
    this.head(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def says(answer: bytes) -> Serve:
    """What a peer does that answers so and hangs up."""

    def serve(this: Peer, connection: socket.socket) -> None:
        this.head(connection)
        connection.sendall(answer)

    return serve


def stops_within_the_answer(this: Peer, connection: socket.socket) -> None:
    CUT(this, connection)
    this.at_end.wait(GENEROUS)


def hangs_up_in_the_handshake(this: Peer, connection: socket.socket) -> None:
    this.heard.append(connection.recv(65_536))


def sends_without_end(this: Peer, connection: socket.socket) -> None:
    this.head(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while not this.at_end.is_set():
        connection.sendall(b" " * 65_536)


def repeats(begin: bytes, line: bytes, pause: float = 0.0) -> Serve:
    """What a peer does that sends `begin`, and then `line` without end."""

    def serve(this: Peer, connection: socket.socket) -> None:
        this.head(connection)
        connection.sendall(begin)
        while not this.at_end.wait(pause):
            connection.sendall(line)

    return serve


BODY = 1_500_000
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
CUT = says(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")


def sends_a_bomb(this: Peer, connection: socket.socket) -> None:
    """Less than a megabyte that becomes 200, made in pieces: a test measures the memory of this process."""
    zipper = zlib.compressobj(1, wbits=31)
    zipped = b"".join(zipper.compress(b"0" * 1_000_000) for _ in range(200)) + zipper.flush()
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(zipped)
    says(head + zipped)(this, connection)


# -- tests


def test_response_is_returned_whole_and_its_connection_is_used_again() -> None:
    with peer(answers) as server, transport() as client:
        answer = exchange(client, server.address, body=b"{}")
        exchange(client, server.address)
    assert server.connections == 1
    assert (answer.status, answer.body, answer.request_id, answer.headers["content-length"]) == (200, b"{}", "r1", "2")
    assert server.heard[0].startswith(b"PATCH /v5/x HTTP/1.1\r\n")
    assert b"\r\nX: y\r\n" in server.heard[0]
    assert b"\r\nAccept-Encoding: gzip\r\n" in server.heard[0]
    assert b"\r\nAuthorization: Bearer token\r\n" in server.heard[0]


@pytest.mark.parametrize(
    ("serve", "limits", "expected"),
    [
        (never_reads, {"write": LIMIT}, Failure.WRITE_TIMEOUT),
        (never_answers, {"read": LIMIT}, Failure.READ_TIMEOUT),
        (stops_within_the_answer, {"read": LIMIT}, Failure.READ_TIMEOUT),
    ],
)
def test_peer_without_progress_fails_after_the_limit_of_its_phase(
    serve: Serve, limits: dict[str, float], expected: Failure
) -> None:
    body = b"x" * 8_000_000 if expected is Failure.WRITE_TIMEOUT else b"{}"
    with peer(serve) as server, transport(**limits) as client:
        begin = time.monotonic()
        assert failure_of(client, server.address, body=body) is expected
        assert LIMIT <= time.monotonic() - begin < GENEROUS / 2


def test_the_read_limit_holds_on_a_connection_that_was_used_before() -> None:
    with peer(answers_once) as server, transport(read=LIMIT) as client:
        exchange(client, server.address, body=b"{}")
        assert failure_of(client, server.address, body=b"{}") is Failure.READ_TIMEOUT
        assert server.connections == 1


@pytest.mark.parametrize(("serve", "body"), [(reads_slowly, b"x" * BODY), (answers_slowly, None)])
def test_a_peer_that_is_slow_but_steady_does_not_fail(serve: Serve, body: bytes | None) -> None:
    with peer(serve, receive_buffer=131_072) as server, transport(write=LIMIT, read=LIMIT) as client:
        begin = time.monotonic()
        assert exchange(client, server.address, body=body).status == 200
        assert time.monotonic() - begin > 2 * LIMIT


@pytest.mark.parametrize(
    "serve",
    [
        resets,
        CUT,
        says(b""),
        says(b"220 mail.example ESMTP\r\n"),
        says(ANSWER.replace(b"x-pinterest-rid: r1", b"Content-Encoding: gzip")),
        says(ANSWER.replace(b"x-pinterest-rid: r1", b"Content-Length: 3")),
        says(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 15\r\n\r\n" + gzip.compress(b"{}")[:15]),
    ],
    ids=["reset", "cut", "nothing", "no HTTP", "no gzip", "two lengths", "half of gzip"],
)
def test_broken_connection_is_reported_as_broken(serve: Serve) -> None:
    with peer(serve) as server, transport() as client:
        assert failure_of(client, server.address, body=b"{}") is Failure.BROKEN


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: " + b"9" * 5_000 + b"\r\n\r\n{",
        b"Content-Length: -5\r\n\r\n{",
        b"Transfer-Encoding: chunked\r\n\r\n" + b"F" * 300 + b"\r\n{",
        b"Transfer-Encoding: chunked\r\n\r\n-5\r\n{}\r\n0\r\n\r\n",
    ],
)
def test_invalid_length_breaks_the_response_or_ends_it_with_the_connection(head: bytes) -> None:
    serve = says(b"HTTP/1.1 200 OK\r\n" + head)
    with peer(serve) as server, transport() as client, contextlib.suppress(NoResponseError):
        assert exchange(client, server.address).body.startswith(b"{")


def test_response_that_arrives_before_the_whole_body_is_sent_is_read() -> None:
    with (
        peer(says(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")) as server,
        transport() as client,
    ):
        assert exchange(client, server.address, body=b"x" * 8_000_000).status == 413


@pytest.mark.parametrize(
    "serve",
    [sends_without_end, sends_a_bomb, repeats(b"", CONTINUE), repeats(CHUNKED, b"X: y\r\n")],
    ids=["a body without end", "a bomb", "responses that say to continue", "trailers"],
)
def test_oversized_success_is_rejected_before_its_end(serve: Serve) -> None:
    with peer(serve) as server, transport() as client:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert failure_of(client, server.address) is Failure.OVERSIZED
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000


@pytest.mark.parametrize(
    "serve",
    [
        repeats(b"", b"H", 0.01),
        repeats(b"HTTP/1.1 200 OK\r\nX: ", b"x", 0.01),
        repeats(CHUNKED, b"X: y\r\n", 0.01),
        repeats(CHUNKED.removesuffix(b"0\r\n"), b"0", 0.01),
        repeats(b"HTTP/1.1 200 OK\r\n\r\n", b" ", 0.01),
    ],
    ids=["first line", "header line", "trailers", "chunk's length", "body"],
)
def test_response_that_arrives_slowly_without_end_is_rejected(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("td_pinterest_op.http.transport._LONGEST_STALL_IN_READ_TIMEOUTS", LIMIT / GENEROUS)
    monkeypatch.setattr("td_pinterest_op.http.transport._LONGEST_RESPONSE_BODY_SECONDS", LIMIT)
    with peer(serve) as server, transport() as client:
        assert failure_of(client, server.address) is Failure.OVERSIZED


def test_piece_of_a_body_that_fills_too_slowly_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("td_pinterest_op.http.transport._LONGEST_RESPONSE_BODY_SECONDS", -1.0)
    ours, theirs = socket.socketpair()
    with ours, theirs, _StallLimitedResponse(ours) as response:
        theirs.sendall(bytes(10))
        with pytest.raises(_OversizedError):
            response.fp.read(10)  # as urllib3 1.26 reads, which waits for a whole piece


def test_more_bytes_than_allowed_since_the_last_piece_of_data_are_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("td_pinterest_op.http.transport._MOST_RESPONSE_OVERHEAD_BYTES", 12)
    ours, theirs = socket.socketpair()
    with ours, theirs, _StallLimitedResponse(ours) as response:
        theirs.sendall(bytes(10))
        response.fp.read(10)
        response.restart_read_limits()
        theirs.sendall(bytes(10))
        response.fp.read(10)
        theirs.sendall(bytes(10))
        with pytest.raises(_OversizedError):
            response.fp.read(10)


def test_response_after_some_that_say_to_continue_and_with_trailers_is_read() -> None:
    with peer(says(3 * CONTINUE + CHUNKED + b"X: y\r\n\r\n")) as server, transport() as client:
        assert exchange(client, server.address).body == b"{}"


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_compressed_body_is_read(encoding: str, compress: Callable[[bytes], bytes]) -> None:
    data = compress(b"{}")
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {len(data)}\r\n\r\n"
    with peer(says(head.encode() + data)) as server, transport() as client:
        assert exchange(client, server.address).body == b"{}"


def test_this_machine_is_not_reached_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with peer(answers) as proxy, peer(answers) as server, transport() as client:
        monkeypatch.setenv("ALL_PROXY", f"http://{proxy.address}")
        monkeypatch.delenv("no_proxy", raising=False)
        assert exchange(client, server.address).status == 200
        assert proxy.connections == 0


@pytest.mark.parametrize(
    ("environ", "through"),
    [
        ({"https_proxy": "http://user:s3cr3t@127.0.0.1:{port}"}, True),
        ({"ALL_PROXY": "127.0.0.1:{port}"}, True),
        ({"HTTPS_PROXY": "http://127.0.0.1:{port}", "NO_PROXY": ".invalid"}, False),
    ],
)
def test_a_failure_names_host_port_the_environments_proxy_and_cause(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], through: bool
) -> None:
    with socket.socket() as unused, transport() as client:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        for name, value in environ.items():
            monkeypatch.setenv(name, value.format(port=port))
        with pytest.raises(NoResponseError) as caught:
            exchange(client, "api.invalid", scheme="https")
    expected = "could not connect: api.invalid:443 "
    assert str(caught.value).startswith(
        f"{expected}through the proxy 127.0.0.1:{port} (Connection refused)" if through else f"{expected}("
    )


def test_the_password_of_a_proxy_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:pr0xy%2Fs3cr3t@127.0.0.1:9")
    with transport() as client, pytest.raises(NoResponseError):
        exchange(client, "api.invalid", scheme="https")
    assert mask_sensitive_data("pr0xy/s3cr3t") == "***"


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.parametrize(
    ("status", "failure"),
    [(407, Failure.UNUSABLE), (502, Failure.NOT_CONNECTED)],
)
def test_refusal_of_a_proxy_is_reported_with_its_status(
    monkeypatch: pytest.MonkeyPatch, status: int, failure: Failure
) -> None:
    with (
        peer(says(b"HTTP/1.1 %d for user:s3cr3t\r\nContent-Length: 0\r\n\r\n" % status)) as proxy,
        transport() as client,
    ):
        monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.address}")
        with pytest.raises(NoResponseError) as caught:
            exchange(client, "api.invalid", scheme="https")
    gc.collect()  # Python 3.10 leaves the response of a refused tunnel open
    where = f"api.invalid:443 through the proxy {proxy.address}"
    assert (
        caught.value.failure,
        str(caught.value),
    ) == (failure, f"{failure.value}: {where} (the proxy answered {status})")


def test_malformed_header_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nEcho of Bearer s3cr3t\r\nX: y\r\n\r\n{}"
    with peer(says(head)) as server, transport() as client:
        assert exchange(client, server.address).status == 200
    assert caplog.messages == []


def test_a_charset_without_a_value_is_no_bug_of_the_operator() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json; charset\r\n\r\n{}"
    with peer(says(head)) as server, transport() as client, contextlib.suppress(NoResponseError):
        assert exchange(client, server.address).status == 200


def test_tls_connection_that_is_cut_off_is_broken_and_not_untrusted() -> None:
    with peer(hangs_up_in_the_handshake) as server, transport() as client:
        assert failure_of(client, server.address, scheme="https") is Failure.BROKEN


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of this machine that nobody has signed but itself, and its key, in one file."""
    file = tmp_path_factory.mktemp("tls") / "certificate.pem"
    options = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    children.run(["openssl", *options.split(), "-keyout", f"{file}.key", "-out", str(file)]).check_returncode()
    file.write_text(file.read_text() + Path(f"{file}.key").read_text())
    return file


def by_tls(certificate: Path) -> Serve:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def serve(this: Peer, connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            answers(this, secure)

    return serve


def test_untrusted_certificate_is_reported_with_its_fault(certificate: Path) -> None:
    with peer(by_tls(certificate)) as server, transport() as client, pytest.raises(NoResponseError) as caught:
        exchange(client, server.address, scheme="https")
    assert caught.value.failure is Failure.UNTRUSTED
    assert f": {server.address} ([SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self" in str(caught.value)


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_a_certificate_that_the_environment_trusts_is_accepted(
    monkeypatch: pytest.MonkeyPatch, certificate: Path, name: str
) -> None:
    monkeypatch.setenv(name, str(certificate))
    with peer(by_tls(certificate)) as server, transport() as client:
        assert exchange(client, server.address, scheme="https").status == 200


def test_a_netrc_file_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(netrc))
    with peer(answers) as server, transport() as client:
        exchange(client, server.address)
    assert b"Authorization: Bearer token" in server.heard[0]
    assert b"Basic" not in server.heard[0]
