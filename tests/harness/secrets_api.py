# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small HTTP server with the rules of Secrets that matter to a client: versions of objects, conflicts, immutable ones, their types.

It starts in no time, so a client can be killed at each of its requests.
"""

from __future__ import annotations

import json
import threading
import typing as t
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit


class SecretsApi:
    """As a context; `kubeconfig` leads to it."""

    def __init__(self, folder: Path) -> None:
        self.held: dict[str, dict[str, t.Any]] = {}
        self.number = 0
        self._lock = threading.Lock()
        self.kubeconfig = folder / "kubeconfig"

    def __enter__(self) -> SecretsApi:
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                with api._lock:
                    status, answer = api.answer(self.command, self.path, json.loads(body) if body else {})
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_DELETE = _serve

            def log_message(self, *_arguments: t.Any) -> None:
                """Quiet."""

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_arguments: t.Any) -> None:
                """A client that was killed."""

        self._server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.kubeconfig.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "trial", "clusters": [{"name": "trial", "cluster": {"server": address}}],
            "users": [{"name": "trial", "user": {"token": "trial"}}], "contexts": [{"name": "trial", "context": {"cluster": "trial", "user": "trial"}}]}))
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, path: str, body: dict[str, t.Any]) -> tuple[int, dict[str, t.Any]]:
        place = urlsplit(path)
        return self._do(method, place.path.split("/secrets")[1].strip("/"), parse_qs(place.query), body)

    def _do(self, method: str, name: str, query: dict[str, list[str]], body: dict[str, t.Any]) -> tuple[int, dict[str, t.Any]]:
        if method == "GET" and not name:
            label, _sign, value = query["labelSelector"][0].partition("=")
            return 200, {"kind": "SecretList", "apiVersion": "v1", "metadata": {}, "items": [
                one for one in self.held.values() if (one["metadata"].get("labels") or {}).get(label) == value]}
        if method == "POST":
            name = body["metadata"]["name"]
            return self._refused(409, "AlreadyExists") if name in self.held else self._put(name, body, 201)
        if name not in self.held:
            return self._refused(404, "NotFound")
        have = self.held[name]
        if method == "PUT":
            if body["metadata"].get("resourceVersion") != have["metadata"]["resourceVersion"]:
                return self._refused(409, "Conflict")
            if have.get("immutable") or have["type"] != body["type"]:
                return self._refused(422, "Invalid")
            return self._put(name, body, 200)
        if method == "DELETE":
            return 200, self.held.pop(name)
        return 200, have

    def _put(self, name: str, body: dict[str, t.Any], status: int) -> tuple[int, dict[str, t.Any]]:
        if body["type"] == "kubernetes.io/tls" and not {"tls.crt", "tls.key"} <= set(body["data"]):
            return self._refused(422, "Invalid")
        self.number += 1
        body["metadata"]["resourceVersion"] = str(self.number)
        self.held[name] = {"kind": "Secret", "apiVersion": "v1", **body}
        return status, self.held[name]

    @staticmethod
    def _refused(status: int, reason: str) -> tuple[int, dict[str, t.Any]]:
        return status, {"kind": "Status", "status": "Failure", "message": f"it is {reason}", "reason": reason, "code": status}
