"""A web server and a mail server on this machine, which keep the alerts that a test sends."""

import contextlib
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import NamedTuple


class ReceivedRequest(NamedTuple):
    """A request that the web server received."""

    method: str
    path: str
    headers: dict[str, str]
    body: str


@contextlib.contextmanager
def serve_web_sink() -> Iterator[tuple[str, list[ReceivedRequest]]]:
    """Serve responses with the status in the path; yield the address and the received requests."""
    asked: list[ReceivedRequest] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            asked.append(ReceivedRequest(self.command, self.path, dict(self.headers), body))
            status = self.path.split("/")[1]
            self.send_response(int(status) if status.isdigit() else 404)
            self.end_headers()
            self.wfile.write(b"heard")

        do_POST = do_GET  # noqa: N815 (the name that http.server looks for)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server, serve_in_thread(server):
        yield f"http://127.0.0.1:{server.server_port}", asked


class _Smtp(socketserver.StreamRequestHandler):
    """A minimal SMTP server that accepts every message."""

    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        while line := self.rfile.readline().strip().upper():
            if line == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                text = b"".join(iter(self.rfile.readline, b".\r\n"))
                taken: list[bytes] = vars(self.server)["taken"]
                taken.append(text)
            self.wfile.write(b"221 bye\r\n" if line == b"QUIT" else b"250 fine\r\n")


@contextlib.contextmanager
def serve_mail_sink() -> Iterator[tuple[int, list[bytes]]]:
    """Serve mail; yield the port and the received messages."""
    taken: list[bytes] = []
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Smtp) as server, serve_in_thread(server):
        vars(server)["taken"] = taken
        yield server.server_address[1], taken


@contextlib.contextmanager
def serve_in_thread(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
