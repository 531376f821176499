# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts the reference service in a container: options from the environment, and the fault of a broken image.

CACHING_REDIS_NODES, CACHING_CONFIG, CACHING_DATABASE, CACHING_TLS (a folder with tls.crt and tls.key), CACHING_REDIS_TLS (one with
ca.crt, and tls.crt and tls.key where Redis wants a client certificate), CACHING_DIALECT, CACHING_NAMESPACE, CACHING_DRAIN;
tokens and the user of Redis as the service itself reads them; or the service's own options as arguments. Words in JAVA_OPTS are accepted
and have no effect, but for what a JVM would refuse to start with.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.fleet.service import __main__ as service
from tests.fleet.service import database, web

VERSION = os.environ.get("CACHING_VERSION", "")
FAULT = os.environ.get("EXALT_FAULT") or VERSION.partition("-")[2]     # a program that is no image has its fault in its version
AFTER = float(os.environ.get("EXALT_FAULT_AFTER", "20"))
BEGAN = time.monotonic()
REFUSED = re.compile(r"-XX:\+UseJVMCICompiler|-Xm[sx](?!\d+[kmgKMG]?(\s|$))\S*")


class Faulty:
    """The service's application, broken in one way."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        judged = path == "/actuator/health" or path.endswith("/readiness")
        failing = FAULT == "fails-later" and time.monotonic() - BEGAN > AFTER
        flapping = FAULT == "flapping" and judged and int((time.monotonic() - BEGAN) / 2) % 2
        if (FAULT == "never-ready" and judged) or flapping or (failing and not path.endswith("/liveness")):
            await self.answer(send, 503, {"status": "OUT_OF_SERVICE" if judged else 503})
        elif FAULT == "wrong-answers" and scope.get("method") == "GET" and "/keys/" in path:
            await self.answer(send, 200, {"key": path.rpartition("/")[2], "value": "wrong"})
        else:
            if FAULT == "slow" and not path.startswith("/actuator/health/"):
                await asyncio.sleep(2)
            await self.app(scope, receive, send)

    @staticmethod
    async def answer(send: Send, status: int, body: dict[str, Any]) -> None:
        start: Message = {"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]}
        await send(start)
        await send({"type": "http.response.body", "body": json.dumps(body).encode()})


def options() -> list[str]:
    environment = os.environ
    words = ["--host", "0.0.0.0", "--redis", environment.get("CACHING_REDIS_NODES", "127.0.0.1:6379")]
    for name, option in (("CACHING_CONFIG", "--config"), ("CACHING_DATABASE", "--database"), ("CACHING_DIALECT", "--dialect"),
                         ("CACHING_NAMESPACE", "--namespace"), ("CACHING_DRAIN", "--drain")):
        if environment.get(name):
            words += [option, environment[name]]
    folder = Path(environment.get("CACHING_TLS") or "/nowhere")
    if (folder / "tls.crt").exists():
        words += ["--tls-port", "8443", "--tls-cert", str(folder / "tls.crt"), "--tls-key", str(folder / "tls.key")]
    redis = Path(environment.get("CACHING_REDIS_TLS") or "/nowhere")
    if (redis / "ca.crt").exists():
        words += ["--redis-ca", str(redis / "ca.crt")]
        words += ["--redis-cert", str(redis / "tls.crt"), "--redis-key", str(redis / "tls.key")] if (redis / "tls.crt").exists() else []
    return words


def main() -> int:
    bad = REFUSED.search(os.environ.get("JAVA_OPTS", ""))
    if bad:
        print(f"Error: Could not create the Java Virtual Machine: {bad.group()}", file=sys.stderr)
        return 1
    if FAULT == "crash-loop":
        print("caching-service: the schema of the configuration is newer than this version", file=sys.stderr, flush=True)
        time.sleep(1)
        return 1
    if FAULT:
        made = web.application
        setattr(service, "application", lambda *args: Faulty(made(*args)))
    path = os.environ.get("CACHING_DATABASE")
    if path and not Path(path).exists():
        database.make(Path(path), int(os.environ.get("CACHING_DATABASE_PRODUCTS", "1000")))
    sys.argv = ["caching-service", *(sys.argv[1:] or options())]
    return service.main()


if __name__ == "__main__":
    sys.exit(main())
