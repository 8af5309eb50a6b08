"""An S3 server on this machine that answers every request with one error."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator

import pytest

NO_BUCKET = 404, "NoSuchBucket"
DENIED = 403, "AccessDenied"


def refusing_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int, str], None]]:
    """A fixture: called with the status and the code of the answer; the environment leads to the server."""
    pytest.importorskip("obstore")
    answer = {"status": 500, "code": "InternalError"}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = f"<?xml version='1.0'?><Error><Code>{answer['code']}</Code><Message>no</Message></Error>".encode()
            self.send_response(int(answer["status"]))
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_PUT = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
    }.items():
        monkeypatch.setenv(name, value)

    def answers(status: int, code: str) -> None:
        answer.update(status=status, code=code)

    try:
        yield answers
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
