# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A recording proxy between modules and the service: it counts what was really sent, and can break it.

    python -m tests.harness.proxy --control 127.0.0.1:0 --listen 127.0.0.1:0 --upstream http://127.0.0.11:8403,…

One --listen for each --upstream (a list is used in turn); an https upstream makes a TLS listener. A line of JSON with
the real addresses is printed when it is ready. Control: GET and DELETE /records (`?label=`), GET and PUT /faults,
PUT /label, PUT /roles (hash of a token → role). Tokens are never kept: a record has the role, else a hash.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import hashlib
import itertools
import json
import socket
import ssl
import struct
import time
import typing as t
from urllib.parse import parse_qs, urlsplit

from tests.harness import faults, messages

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
IDLE = 2.0      # a kept connection older than this is not used again: the service may be about to close it


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()[:16]


class Upstream:
    """The real service's address with its idle connections."""

    def __init__(self, url: str, ca: str) -> None:
        parts = urlsplit(url)
        self.url, self.host, self.port = url, parts.hostname or "", parts.port or 80
        self.tls = ssl.create_default_context(cafile=ca) if parts.scheme == "https" else None
        self.idle: list[tuple[float, Streams]] = []

    async def connect(self) -> tuple[Streams, bool]:
        """A connection, and whether it was used before."""
        while self.idle:
            since, streams = self.idle.pop()
            if time.monotonic() - since < IDLE and not streams[0].at_eof():
                return streams, True
            streams[1].close()
        return await asyncio.open_connection(self.host, self.port, ssl=self.tls, limit=messages.LIMIT), False

    async def ask(self, request: messages.Message, method: str) -> messages.Message:
        """The service's answer; a read that a kept connection swallowed is asked again on a new one, as every client does."""
        streams, kept = await self.connect()
        try:
            return await self.ask_on(streams, request, method)
        except (OSError, EOFError):
            if not kept or method != "GET":
                raise
        self.idle.clear()
        return await self.ask_on((await self.connect())[0], request, method)

    async def ask_on(self, streams: Streams, request: messages.Message, method: str) -> messages.Message:
        reader, writer = streams
        try:
            writer.write(request.head + request.body)
            await writer.drain()
            answer = await messages.read(reader, method)
            if answer is None:
                raise ConnectionResetError("the service closed the connection")
        except BaseException:
            writer.close()
            raise
        if answer.closes:
            writer.close()
        else:
            self.idle.append((time.monotonic(), (reader, writer)))
        return answer


def reset(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Proxy:
    def __init__(self) -> None:
        self.records: list[dict[str, t.Any]] = []
        self.rules: list[faults.Rule] = []
        self.roles: dict[str, str] = {}
        self.label = ""
        self.connections = itertools.count(1)

    def role(self, header: str) -> str:
        token = header.removeprefix("Bearer ")
        return (self.roles.get(digest(token)) or digest(token)) if token else ""

    async def serve(self, upstreams: t.Iterator[Upstream], reader: asyncio.StreamReader,
                    writer: asyncio.StreamWriter) -> None:
        connection = next(self.connections)
        try:
            while request := await messages.read(reader):
                if not await self.one(request, next(upstreams), connection, reader, writer):
                    break
        except (OSError, asyncio.LimitOverrunError):
            reset(writer)
        finally:
            writer.close()

    async def one(self, request: messages.Message, upstream: Upstream, connection: int,
                  reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Pass one request on; False when the connection ends with it."""
        method, target, _version = request.start.split(" ")
        path, _mark, query = target.partition("?")
        rule = faults.first_that_applies(self.rules, method, path)
        started = time.monotonic()
        record: dict[str, t.Any] = {
            "method": method, "path": path, "query": query, "status": 0, "time": time.time(), "seconds": 0.0,
            "token": self.role(request.headers.get("authorization", "")), "label": self.label,
            "upstream": upstream.url, "tls": upstream.tls is not None, "connection": connection,
            "bytes": len(request.body), "fault": rule.name if rule else "",
        }
        self.records.append(record)
        spec = rule.spec if rule else {}
        try:
            await asyncio.sleep(spec.get("delay", 0))
            answer = await upstream.ask(request, method) if rule is None or rule.asks_service else None
            answer = (rule.answer() if rule else None) or answer
            if spec.get("freeze"):
                await reader.read()
                return False
            if spec.get("reset") or answer is None:
                reset(writer)
                return False
            record["status"] = int(answer.start.split(" ")[1])
            cut = spec.get("cut")
            body = b"" if method == "HEAD" else answer.body
            writer.write(answer.head + (body if cut is None else body[:cut]))
            await writer.drain()
            return cut is None and not (answer.closes or request.closes)
        except (OSError, EOFError) as error:
            record["error"] = f"{type(error).__name__}: {error}"
            raise
        finally:
            record["seconds"] = round(time.monotonic() - started, 6)

    # ---- control

    def command(self, method: str, path: str, query: str, body: t.Any) -> t.Any:
        match method, path:
            case "GET", "/records":
                wanted = parse_qs(query).get("label")
                return [record for record in self.records if not wanted or record["label"] == wanted[0]]
            case "DELETE", "/records":
                self.records.clear()
            case "GET", "/faults":
                return [{**rule.spec, "seen": rule.seen, "delivered": rule.delivered} for rule in self.rules]
            case "PUT", "/faults":
                self.rules = [faults.Rule(spec) for spec in body]
            case "PUT", "/label":
                self.label = body["label"]
            case "PUT", "/roles":
                self.roles = body
            case _:
                raise ValueError(f"{method} {path} is not known")
        return {}

    async def control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await messages.read(reader):
            method, target, _version = request.start.split(" ")
            path, _mark, query = target.partition("?")
            try:
                status, result = 200, self.command(method, path, query, json.loads(request.body or b"null"))
            except (ValueError, KeyError, TypeError) as error:
                status, result = 400, {"error": str(error)}
            answer = messages.response(status, {"Content-Type": "application/json"}, json.dumps(result).encode())
            writer.write(answer.head + answer.body)
        writer.close()


async def listen(handler: t.Any, address: str, tls: ssl.SSLContext | None = None) -> tuple[asyncio.Server, str]:
    host, _colon, port = address.rpartition(":")
    server = await asyncio.start_server(handler, host, int(port), ssl=tls, limit=messages.LIMIT)
    bound = server.sockets[0].getsockname()
    return server, f"{'https' if tls else 'http'}://{bound[0]}:{bound[1]}"


async def run(options: argparse.Namespace) -> None:
    proxy = Proxy()
    servers = [await listen(proxy.control, options.control)]
    for address, urls in zip(options.listen, options.upstream, strict=True):
        upstreams = [Upstream(url, options.ca) for url in urls.split(",")]
        tls = None
        if upstreams[0].tls:
            tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            tls.load_cert_chain(options.tls_cert, options.tls_key)
        servers.append(await listen(functools.partial(proxy.serve, itertools.cycle(upstreams)), address, tls))
    addresses = [url for _server, url in servers]
    print(json.dumps({"control": addresses[0], "listen": addresses[1:]}), flush=True)
    await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.harness.proxy")
    parser.add_argument("--control", default="127.0.0.1:0")
    for name in ("--listen", "--upstream"):
        parser.add_argument(name, action="append", required=True)
    for name in ("--tls-cert", "--tls-key", "--ca"):
        parser.add_argument(name)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
