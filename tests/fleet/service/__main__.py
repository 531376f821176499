# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the service: one process, one event loop, a server for each port."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import ssl
import sys
from collections.abc import Iterator

import uvicorn
import uvloop
from starlette.applications import Starlette

from . import certificates, schedules
from . import settings as options
from .database import DatabaseAway
from .errors import ApiError, Unavailable
from .routes import table
from .settings import Settings, SettingsError
from .web import Service, application

log = logging.getLogger("caching-service")


class Server(uvicorn.Server):
    """A server that leaves the signals to the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _served(settings: Settings, service: Service) -> ssl.SSLContext:
    try:
        context, service.certificates["server.ssl"] = certificates.serving(settings.tls_cert, settings.tls_key)
    except (OSError, ValueError) as error:
        raise SettingsError(f"--tls-cert, --tls-key: {error}") from error
    return context


def _servers(settings: Settings, service: Service) -> list[tuple[Server, socket.socket]]:
    routes = table(settings)
    served = _served(settings, service) if settings.tls_port else None
    one_port = not settings.management_port
    data = application(service, [route for route in routes if one_port or route.port != "management"])
    management = application(service, [route for route in routes if route.port != "data"])

    def server(app: Starlette, port: int, *, tls: bool = False) -> tuple[Server, socket.socket]:
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            lifespan="off",
            backlog=512,
            server_header=False,
            timeout_keep_alive=60,
            timeout_graceful_shutdown=5,
            ssl_context_factory=(lambda _config, _default: served) if tls and served else None,
        )
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, port))
        except OSError as error:
            raise SettingsError(f"can't listen on {settings.host}:{port}: {error.strerror}") from error
        return Server(config), listener

    result = [server(data, settings.port)]
    if settings.management_port:
        result.append(server(management, settings.management_port))
    if settings.tls_port:
        result.append(server(data, settings.tls_port, tls=True))
    return result


async def run(settings: Settings) -> None:
    servers: list[tuple[Server, socket.socket]] = []
    stopping: list[asyncio.Task[None]] = []

    async def drain() -> None:
        """Out of service first, so that balancers look elsewhere; then requests in flight and accepted work end."""
        service.draining = True
        await asyncio.sleep(settings.drain)
        for server, _listener in servers:
            server.should_exit = True

    def stop() -> None:
        if not stopping:
            stopping.append(asyncio.create_task(drain()))

    try:
        service = Service.create(settings, stop)
    except ApiError as error:
        raise SettingsError(f"--config: {error.message}") from error
    service.meters.watch_collections()
    servers += _servers(settings, service)
    try:
        service.database.prepare()
    except DatabaseAway as error:  # health tells of it
        log.warning("the database can't be opened: %s", error)
    with contextlib.suppress(Unavailable):  # it will be looked for again with each request
        await service.redis.primaries()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    ticking = [asyncio.create_task(schedules.follow_forever(service)),
               asyncio.create_task(schedules.fire_forever(service))]
    if settings.tls_watch > 0 and service.certificates:
        ticking.append(asyncio.create_task(certificates.follow(list(service.certificates.values()), settings.tls_watch)))
    await asyncio.gather(*(server.serve(sockets=[listener]) for server, listener in servers))
    for task in ticking:
        task.cancel()
    await service.jobs.stop()
    if service.pending:
        await asyncio.wait(service.pending, timeout=5)
    await service.redis.close()


def main() -> int:
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s", level=logging.WARNING)
    try:
        settings = options.load(sys.argv[1:])
        if settings is None:
            return 0
        gc.freeze()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run(settings))
    except SettingsError as error:
        print(f"caching-service: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
