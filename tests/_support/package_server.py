"""A server of conda packages on a real socket: takes uploads as Quetz, Artifactory and others do, and can misbehave."""

from __future__ import annotations

import contextlib
import http.server
import threading
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message


@dataclass
class Seen:
    """One request."""

    method: str
    path: str
    headers: Message
    body: bytes
    status: int


@dataclass
class PackageServer:
    """What was asked, what is kept, and what will be answered.

    :param answers: statuses for the next requests that bring something; then all is well
    """

    url: str = ""
    seen: list[Seen] = field(default_factory=list)
    files: dict[str, tuple[bytes, dict[str, str]]] = field(default_factory=dict)
    answers: list[int] = field(default_factory=list)

    def of(self, method: str) -> list[Seen]:
        """The requests of one kind."""
        return [request for request in self.seen if request.method == method]


def _list_objects(keys: list[str], prefix: str, delimiter: str, sizes: dict[str, int]) -> bytes:
    """An answer to ListObjectsV2."""
    folders, rows = {}, ""
    for key in keys:
        head, found, _ = key.removeprefix(prefix).partition(delimiter or "\0")
        if found:
            folders[f"{prefix}{head}{delimiter}"] = None
        else:
            rows += f"<Contents><Key>{key}</Key><Size>{sizes[key]}</Size>"
            rows += '<ETag>"0"</ETag><LastModified>2026-01-01T00:00:00Z</LastModified></Contents>'
    rows += "".join(f"<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>" for folder in folders)
    head = f"<IsTruncated>false</IsTruncated><Prefix>{prefix}</Prefix><KeyCount>{len(keys)}</KeyCount>"
    return f"<ListBucketResult>{head}{rows}</ListBucketResult>".encode()


@contextlib.contextmanager
def package_server() -> Iterator[PackageServer]:
    """Run one until the block ends."""
    server = PackageServer()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self) -> None:
            body = self._body()
            status = server.answers.pop(0) if server.answers else 200
            path = self.path.partition("?")[0]
            if status == 200:
                kept = {
                    name.lower(): value
                    for name, value in self.headers.items()
                    if name.lower().startswith("x-amz-meta")
                }
                server.files[path] = (body, kept)
            self._answer(status, body, b"{}")

        do_POST = do_PUT  # noqa: N815 - its base class calls it so

        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            if "list-type=2" in query:
                self._answer(200, b"", self._listing(path, query))
                return
            content, kept = server.files.get(path, (b"", None))
            self._answer(404 if kept is None else 200, b"", content, kept)

        do_HEAD = do_GET  # noqa: N815 - its base class calls it so

        def _listing(self, bucket: str, query: str) -> bytes:
            asked = urllib.parse.parse_qs(query)
            prefix, delimiter = asked.get("prefix", [""])[0], asked.get("delimiter", [""])[0]
            root = bucket.rstrip("/") + "/"
            keys = [
                path.removeprefix(root) for path in sorted(server.files) if path.startswith(root + prefix)
            ]
            return _list_objects(
                keys, prefix, delimiter, {key: len(server.files[root + key][0]) for key in keys}
            )

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def _answer(
            self, status: int, body: bytes, content: bytes, headers: dict[str, str] | None = None
        ) -> None:
            server.seen.append(Seen(self.command, self.path, self.headers, body, status))
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("ETag", '"0"')
            self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        server.url = f"http://127.0.0.1:{running.server_port}"
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            running.shutdown()
            thread.join(10)
