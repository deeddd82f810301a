"""A small HTTP server on loopback whose answers a test scripts."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, Any, dict[str, str]]
"""Status, JSON (or a text as it is), and headers."""


@contextmanager
def serving(answer: Callable[[str, Any, int], Answer]) -> Iterator[tuple[str, list[tuple[str, Any, Any]]]]:
    """A server while the context lasts.

    Args:
        answer: (path, JSON that was sent or None, number of the request from 0) -> the answer.

    Yields:
        the address, and the requests so far: path, content, headers.
    """
    requests: list[tuple[str, Any, Any]] = []
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *arguments: Any) -> None:
            return None

        def do_GET(self) -> None:
            self.reply(None)

        def do_POST(self) -> None:
            self.reply(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def reply(self, content: Any) -> None:
            with lock:
                number = len(requests)
                requests.append((self.path, content, dict(self.headers)))
            status, body, headers = answer(self.path, content, number)
            data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self.send_response(status)
            headers = {"Content-Type": "text/html" if isinstance(body, str) else "application/json", **headers}
            for name, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that has given up is no error of the server's."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requests
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def speaking(*pieces: bytes, pause: float = 0.0) -> Iterator[str]:
    """A server that answers every request with bytes as they are, one piece after the other, and hangs up.

    Args:
        pieces: what it says; the last one over and over where there is a pause.
        pause: seconds between the pieces.

    Yields:
        the address.
    """
    ended = threading.Event()

    def speak(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(65536)
            for piece in pieces:
                connection.sendall(piece)
            while pause and not ended.wait(pause):
                connection.sendall(pieces[-1])
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):  # what is not read would reset the connection
                pass

    def listen() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=speak, args=(server.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=listen, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            ended.set()
            server.shutdown(socket.SHUT_RDWR)
