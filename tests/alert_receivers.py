"""A web server and a mail server on this machine, which keep the alerts that a test sends."""

import contextlib
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer


@contextlib.contextmanager
def serve_web_sink() -> Iterator[tuple[str, list[str]]]:
    """Answer messages with the status in the path; yield the address and the bodies of the received messages."""
    received: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(int(self.path.split("/")[1]))
            self.end_headers()
            self.wfile.write(b"heard")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server, serve_in_thread(server):
        yield f"http://127.0.0.1:{server.server_port}", received


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
