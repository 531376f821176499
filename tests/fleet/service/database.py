# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The SQLite database that warm-ups read and that write-through writes; run as a program it makes one of test data."""

from __future__ import annotations

import argparse
import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

BUSY = 1.0  # seconds to wait for a lock
QUERY_LIMIT = 10.0  # seconds for one query
SHARES = {"products": 1, "categories": 100, "users": 4}  # one category for a hundred products
_TABLE = """CREATE TABLE {name} (id INTEGER PRIMARY KEY, name TEXT NOT NULL, payload TEXT NOT NULL,
popularity INTEGER NOT NULL, active INTEGER NOT NULL)"""
_WRITTEN = """CREATE TABLE IF NOT EXISTS written_through
(region TEXT, key TEXT, value TEXT, writtenAt TEXT, PRIMARY KEY (region, key))"""


class DatabaseAway(Exception):
    """Why the database gives no answer."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What to read: all rows of a table, the most popular ones first, or a query."""

    sql: str

    @classmethod
    def of(cls, region: str, strategy: str, query: str) -> Selection:
        if query:
            return cls(f"SELECT * FROM ({query})")
        table = '"' + region.replace('"', '""') + '"'
        order = "popularity DESC, id" if strategy == "popular-items" else "id"
        return cls(f"SELECT * FROM {table} ORDER BY {order}")


class Database:
    """Opened anew for each use, so that a file that was removed, replaced or locked is noticed."""

    def __init__(self, path: str) -> None:
        self.path = path

    @contextmanager
    def _open(self, mode: str) -> Iterator[sqlite3.Connection]:
        if not self.path:
            raise DatabaseAway("no database is configured")
        deadline = time.monotonic() + QUERY_LIMIT
        try:
            location = f"file:{quote(self.path)}?mode={mode}"
            with closing(sqlite3.connect(location, uri=True, timeout=BUSY)) as connection:
                connection.row_factory = sqlite3.Row
                connection.set_progress_handler(lambda: time.monotonic() > deadline, 100_000)
                yield connection
        except sqlite3.Error as error:
            raise DatabaseAway(str(error)) from error

    def prepare(self) -> None:
        """An empty database where there is none yet."""
        if self.path:
            with self._open("rwc") as connection:
                connection.execute("CREATE TABLE IF NOT EXISTS probe (id INTEGER PRIMARY KEY)")

    def check(self) -> None:
        if self.path:
            with self._open("rw") as connection:
                connection.execute("SELECT count(*) FROM sqlite_master").fetchone()

    def amount(self, selection: Selection) -> int:
        with self._open("ro") as connection:
            return int(connection.execute(f"SELECT count(*) FROM ({selection.sql})").fetchone()[0])

    def batch(self, selection: Selection, size: int, offset: int) -> list[dict[str, Any]]:
        with self._open("ro") as connection:
            rows = connection.execute(f"{selection.sql} LIMIT ? OFFSET ?", (size, offset))
            return [{name: value.hex() if isinstance(value, bytes) else value for name, value in dict(row).items()}
                    for row in rows]

    def write(self, region: str, key: str, value: str, moment: str) -> None:
        with self._open("rw") as connection:
            connection.execute(_WRITTEN)
            row = (region, key, value, moment)
            connection.execute("INSERT OR REPLACE INTO written_through VALUES (?, ?, ?, ?)", row)
            connection.commit()


def make(path: Path, number: int) -> None:
    """A database of test data, always the same; the products are as many as asked for."""
    path.touch(mode=0o600)
    chance = random.Random(number)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("CREATE TABLE probe (id INTEGER PRIMARY KEY)")
        for table, share in SHARES.items():
            rows = [
                (row, f"{table} {row}", f"{chance.getrandbits(512):0128x}", int(1e6 / (1 + chance.random() * number)),
                 int(row % 10 != 0))
                for row in range(1, max(1, number // share) + 1)
            ]
            connection.execute(_TABLE.format(name=table))
            connection.executemany(f"INSERT INTO {table} VALUES (?, ?, ?, ?, ?)", rows)
            connection.execute(f"CREATE INDEX {table}_popularity ON {table} (popularity DESC, id)")
        connection.commit()


def main() -> None:
    parser = argparse.ArgumentParser(prog="database", description="Makes a database to warm a cache from.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--items", type=int, default=20_000, help="number of products")
    options = parser.parse_args()
    make(options.file, options.items)


if __name__ == "__main__":
    main()
