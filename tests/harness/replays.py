# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replays of RDB files, as the modules make them, without a store in between."""

from __future__ import annotations

import contextlib
import typing as t
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ansible_collections.exalt.caching.plugins.module_utils._redis import Redis
from ansible_collections.exalt.caching.plugins.module_utils._resources import replaying

from tests.harness.scratch import Scratch


def source(path: Path, slow: Callable[[int], None] | None = None) -> replaying.Source:
    """A file as a source; `slow` is called before each piece with the bytes so far."""

    @contextlib.contextmanager
    def opened() -> Iterator[Callable[[int], bytes]]:
        with path.open("rb") as file:
            def read(size: int) -> bytes:
                if slow:
                    slow(file.tell())
                return file.read(min(size, 1 << 16))

            yield read

    return replaying.Source(path.name, opened)


def replay(files: Sequence[Path], target: Scratch, slow: Callable[[int], None] | None = None, **job: t.Any) -> replaying.Outcome:
    cluster = Redis({**target.args, "redis_timeout": 2})
    return replaying.replay(cluster, [source(path, slow) for path in files], replaying.Job(**{"sample": 100, "patience": 30.0, **job}))
