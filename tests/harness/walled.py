# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A scratch cluster whose nodes can be cut off, as a host is that lost its network: no byte gets through any more, and nobody is told.

Each node listens on a loopback address of its own and announces another one, where a proxy waits: for its commands, its replicas and its
bus. As it also connects to others from its own address, a proxy knows who comes. While a node is cut off, its connections stay open and
silent; what was sent arrives when it is back, as it does with TCP.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import typing as t

from tests.harness.scratch import Node, Scratch

INSIDE, OUTSIDE = "127.91", "127.92"    # where nodes are, and where they say that they are


class Walled(Scratch):
    """`cut(node)`, and `mend(node)`."""

    def up(self) -> None:
        self.wall = Wall()
        super().up()

    def down(self) -> None:
        super().down()
        self.wall.close()

    def placed(self, node: Node) -> None:
        place = f"{node.port % 250 + 1}.{node.port // 250 % 250 + 1}"
        node.host, node.inside = f"{OUTSIDE}.{place}", f"{INSIDE}.{place}"
        for port in (node.port, node.port + 10000):
            self.wall.open(node.host, node.inside, port)

    def transport(self, node: Node) -> dict[str, str]:
        return {**super().transport(node), "bind": node.inside, "bind-source-addr": node.inside, "cluster-announce-ip": node.host}

    def cut(self, node: Node) -> None:
        self.wall.cut.add(node.inside)

    def mend(self, node: Node) -> None:
        self.wall.cut.discard(node.inside)


class Wall:
    """All proxies, in one thread. `cut` has the addresses of those that are cut off."""

    def __init__(self) -> None:
        self.cut: set[str] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def open(self, host: str, inside: str, port: int) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            ends = {writer.get_extra_info("peername")[0], inside}
            writers = [writer]
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await self._passage(ends)
                there, back = await asyncio.open_connection(inside, port)
                writers.append(back)
                await asyncio.gather(self._pass(reader, back, ends), self._pass(there, writer, ends))
            for one in writers:
                one.close()

        self._run(asyncio.start_server(serve, host, port))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ends: set[str]) -> None:
        try:
            while data := await reader.read(1 << 16):
                await self._passage(ends)
                writer.write(data)
                await writer.drain()
            await self._passage(ends)
        finally:
            writer.close()

    async def _passage(self, ends: set[str]) -> None:
        while self.cut & ends:
            await asyncio.sleep(0.02)

    def _run(self, work: t.Coroutine[t.Any, t.Any, t.Any]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def close(self) -> None:
        async def end() -> None:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        self._run(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
