# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A proxy before an S3 service that passes every byte on as it is, counts the calls, and can break them.

A fault says for which calls it is (`call`: a regular expression on their names, such as `UploadPart`), for which of them
(`first`, `nth` from 1, or `chance` with the proxy's seed) and what happens (`kind`):

    500, 503         this answer instead of asking
    507              the same, with the code of a full store
    slow             the answer comes `seconds` later
    stall            no answer ever comes
    reset            RST, in the middle of the request's body if it has one
    lost             the store does it, then RST instead of its answer
    lost500          the store does it, then 500 instead of its answer
    cut              half of the answer's body, then the end
    damage           one bit of the request's body is wrong
    damage-answer    one bit of the answer's body is wrong
    checksum         the answer's checksum is wrong
"""

from __future__ import annotations

import http.client
import http.server
import random
import re
import socket
import struct
import threading
import time
import typing as t
from collections import Counter
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from tests.harness import coverage

PASSING = ("500", "503", "slow", "reset", "lost", "lost500", "cut", "damage", "checksum")
FULL = ("XMinioStorageFull", "Storage backend has reached its minimum free drive threshold.")


@dataclass
class Fault:
    kind: str
    call: str = ""
    first: int = 1 << 30
    nth: int = 0
    chance: float = 1.0
    seconds: float = 0.3
    seen: int = 0


def name_of(method: str, target: str) -> str:
    """The name of a call, as AWS has it."""
    parts = urlsplit(target)
    query = parse_qs(parts.query, keep_blank_values=True)
    inside = "/" in parts.path.strip("/")
    if "uploads" in query:
        return "ListMultipartUploads" if method == "GET" else "CreateMultipartUpload"
    if "uploadId" in query:
        return {"PUT": "UploadPart", "POST": "CompleteMultipartUpload", "DELETE": "AbortMultipartUpload", "GET": "ListParts"}.get(method, method)
    if not inside:
        return {"GET": "ListObjects", "PUT": "CreateBucket", "HEAD": "HeadBucket"}.get(method, method)
    return {"GET": "GetObject", "PUT": "PutObject", "HEAD": "HeadObject", "DELETE": "DeleteObject"}.get(method, method)


class S3Proxy:
    """Opened for the time of a `with`; `url` is the endpoint to give to a client."""

    def __init__(self, endpoint: str, seed: int = 0) -> None:
        parts = urlsplit(endpoint)
        self.upstream = (parts.hostname or "", parts.port or 80)
        self.calls: Counter[str] = Counter()
        self.delivered: Counter[str] = Counter()
        self.encryption: dict[str, set[tuple[str, str]]] = {}   # by call: what it asked the store to encrypt with, and the key
        self._faults: list[Fault] = []
        self._chance = random.Random(seed)
        self._lock = threading.Lock()
        self._records: list[dict[str, t.Any]] = []
        self._label = ""
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": self}))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def label(self, name: str) -> None:
        self._label = name

    def records(self, name: str = "") -> list[dict[str, t.Any]]:
        """Every call that was answered, with the method `S3`."""
        return [one for one in self._records if not name or one["label"] == name]

    def keep(self, call: str, status: int) -> None:
        self._records.append({"method": "S3", "path": call, "status": status, "label": self._label})

    def break_with(self, *faults: Fault) -> None:
        with self._lock:
            self._faults = list(faults)
            self.calls.clear()
            self.delivered.clear()

    def fault(self, call: str) -> Fault | None:
        with self._lock:
            self.calls[call] += 1
            for fault in self._faults:
                if not re.search(fault.call, call):
                    continue
                fault.seen += 1
                if fault.seen > fault.first or (fault.nth and fault.seen != fault.nth) or self._chance.random() >= fault.chance:
                    continue
                self.delivered[fault.kind] += 1
                return fault
        return None

    def __enter__(self) -> S3Proxy:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        coverage.register(self)
        return self

    def __exit__(self, *_error: object) -> None:
        coverage.unregister(self)
        self._server.shutdown()
        self._server.server_close()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: t.Any, client_address: t.Any) -> None:
        """A client that is gone is what faults are for."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: S3Proxy
    disable_nagle_algorithm = True

    def log_message(self, *_args: object) -> None:
        """Silent."""

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        asked = tuple(self.headers.get(f"x-amz-server-side-encryption{name}") or "" for name in ("", "-aws-kms-key-id"))
        self.proxy.encryption.setdefault(name_of(self.command, self.path), set()).add((asked[0], asked[1]))
        fault = self.proxy.fault(name_of(self.command, self.path))
        kind = fault.kind if fault else ""
        if kind == "reset":
            self.rfile.read(length // 2)
            return self._reset()
        body = self.rfile.read(length)
        if kind == "stall":
            self.connection.recv(1)     # until the client gives up
            return self._reset()
        if kind in ("500", "503", "507"):
            code, text = {"500": ("InternalError", "We encountered an internal error."), "503": ("SlowDown", "Reduce your rate."), "507": FULL}[kind]
            return self._error(int(kind), code, text)
        if kind == "damage" and body:
            body = _flipped(body)
        status, headers, answer = self._ask(body)
        if kind == "slow" and fault:
            time.sleep(fault.seconds)
        if kind == "lost":
            return self._reset()
        if kind == "lost500":
            return self._error(500, "InternalError", "We encountered an internal error.")
        if kind == "damage-answer" and answer:
            answer = _flipped(answer)
        if kind == "checksum":
            headers = [(name, "A" * 43 + value[43:] if name.lower() == "x-amz-checksum-sha256" else value) for name, value in headers]
        self._answer(status, headers, answer, len(answer) // 2 if kind == "cut" else None)

    do_PUT = do_POST = do_DELETE = do_HEAD = do_GET

    def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        upstream = http.client.HTTPConnection(*self.proxy.upstream, timeout=60)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("expect", "connection"):
                    upstream.putheader(name, value)
            upstream.endheaders(body or None)
            answer = upstream.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            upstream.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes, cut: int | None) -> None:
        self.proxy.keep(name_of(self.command, self.path), status)
        self.send_response_only(status)
        told = self.command == "HEAD"
        for name, value in headers:
            if name.lower() not in ("connection", "transfer-encoding") and (told or name.lower() != "content-length"):
                self.send_header(name, value)
        if not told:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if cut is None else body[:cut])
        self.wfile.flush()
        if cut is not None:
            self.close_connection = True

    def _error(self, status: int, code: str, text: str) -> None:
        body = b"" if self.command == "HEAD" else f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{text}</Message></Error>".encode()
        self._answer(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))], body, None)

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True


def _flipped(body: bytes) -> bytes:
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]
