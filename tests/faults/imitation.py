"""The account of a test process, served to others over HTTP: one request at a time, as moto answers in process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

from botocore.awsrequest import AWSPreparedRequest
from botocore.compat import HTTPHeaders
from moto.core.botocore_stubber import BotocoreStubber
from support import REGION


class Handler(BaseHTTPRequestHandler):
    """Finds the service in the signature, since all come to one host."""

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        service = self.headers["Authorization"].split("/")[3]
        headers = HTTPHeaders()
        for name, value in self.headers.items():
            headers[name] = value
        url = f"https://{service}.{REGION}.amazonaws.com{self.path}"
        found = BotocoreStubber().process_request(AWSPreparedRequest(self.command, url, headers, body, False))
        status, more, text = found or (404, {}, "")
        self.send_response(status)
        for name, value in more.items():
            if name.lower() not in ("content-length", "server", "date"):
                self.send_header(name, str(value))
        data = text.encode() if isinstance(text, str) else text
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = answer  # noqa: N815 - http.server's names

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the requests are not news."""


@contextmanager
def served() -> Iterator[str]:
    """The address. Inside `account()`."""
    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
