# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many runs that want one lock at the same time: in each round exactly one may get it."""

from __future__ import annotations

import secrets
import threading
import time
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from ansible_collections.exalt.caching.plugins.module_utils._resources.operation_lock import Lock
from ansible_collections.exalt.caching.plugins.module_utils._store import open_store

from tests.harness.s3_proxy import PASSING, Fault, S3Proxy


@dataclass
class Race:
    winners: list[int] = field(default_factory=list)    # of each round
    odd: list[str] = field(default_factory=list)        # errors that don't name the holder
    seconds: float = 0.0

    @property
    def held(self) -> int:
        return self.winners.count(1) if not self.odd else 0


def race(options: t.Mapping[str, t.Any], runs: int = 20, rounds: int = 100) -> Race:
    """Each run has its own connection to the store. The winner of a round gives the lock back when all have tried."""
    result, began = Race(), time.monotonic()
    locks = [Lock(open_store(options), "race", "content") for _run in range(runs)]
    token = 0
    for turn in range(rounds):
        won: list[tuple[int, int]] = []

        def run(number: int, won: list[tuple[int, int]], turn: int, start: threading.Barrier) -> None:
            start.wait()
            try:
                won.append((number, locks[number].take(f"run {number} of round {turn}", 600, 0).token))
            except CachingError as error:
                if f"of round {turn} since" not in error.message:
                    result.odd.append(error.message)

        start = threading.Barrier(runs)
        threads = [threading.Thread(target=run, args=(number, won, turn, start)) for number in range(runs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        result.winners.append(len(won))
        for number, mine in won:
            if mine <= token:
                result.odd.append(f"token {mine} after {token}")
            token = mine
            locks[number].release(mine)
    result.seconds = time.monotonic() - began
    return result


def trials(store_args: t.Mapping[str, t.Any], folder: Path, seed: int, rounds: int) -> dict[str, Race]:
    """On a directory, on S3, and on S3 while every fifth call is broken."""
    place = f"{store_args['store_url']}/races-{secrets.token_hex(4)}"
    found = {
        "directory": race({"store_url": f"file://{folder}"}, rounds=rounds),
        "s3": race({**store_args, "store_url": f"{place}/quiet"}, rounds=rounds),
    }
    with S3Proxy(store_args["store_endpoint_url"], seed) as proxy:
        proxy.break_with(*(Fault(kind, chance=0.2 / len(PASSING)) for kind in PASSING))
        found["s3, broken"] = race({**store_args, "store_url": f"{place}/broken", "store_endpoint_url": proxy.url}, rounds=rounds)
    return found
