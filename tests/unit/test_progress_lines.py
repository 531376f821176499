# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines of progress that are printed while a module runs."""

from __future__ import annotations

import json
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.exalt.caching.plugins.action.cache_warm import Follower, told


@pytest.mark.parametrize(("row", "text"), [
    ({"what": "region products", "done": 12000, "total": 20000, "rate": 3400.4, "eta": 2.35}, "region products: 12,000 of 20,000, 3,400/s, 2 s left"),
    ({"what": "region products", "done": 5, "total": None, "rate": None, "eta": None}, "region products: 5"),
    ({"done": 5, "what": "a\x1b[31mb\nc"}, "a[31mbc: 5"), ({"done": "5"}, ""), ({}, ""),
])
def test_lines(row: dict[str, t.Any], text: str) -> None:
    assert told(row) == text


def test_new_lines_are_shown_and_the_last_one_always(tmp_path: Path) -> None:
    path, shown = tmp_path / "progress", []
    path.write_text(json.dumps({"done": 99, "time": time.time() - 60}) + "\n")
    with Follower(str(path), shown.append):
        time.sleep(0.7)
        with path.open("w") as file:
            for done in range(5):
                file.write(json.dumps({"what": "w", "done": done, "time": time.time()}) + "\n")
            file.write('{"done": 7, "ti')
    assert shown and shown[-1] == "w: 4" and "99" not in "".join(shown)


def test_without_a_file_nothing_is_shown_and_nothing_fails(tmp_path: Path) -> None:
    shown: list[str] = []
    with Follower(str(tmp_path / "none"), shown.append):
        pass
    (tmp_path / "rubbish").write_text("no json\n")
    with Follower(str(tmp_path / "rubbish"), shown.append):
        pass
    assert shown == []
