# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When the start script of Redis takes a primary for one that has lost its data, with commands that only say that they were called."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.fleet.paths import ROOT

PRIMARY, REPLICA = "a 10.0.0.1:6379@16379 myself,master - 0 0 1 connected 0-5460", "a 10.0.0.1:6379@16379 myself,slave b 0 0 1 connected"


@pytest.mark.parametrize(("conf", "there", "node", "waits"), [
    ("appendonly yes", "appendonlydir", PRIMARY, False), ("appendonly yes", "", PRIMARY, True), ("appendonly yes", "", REPLICA, False),
    ("appendonly yes", "dump.rdb", PRIMARY, True), ("appendonly yes\nappenddirname log", "log", PRIMARY, False),
    ('appendonly yes\nappenddirname "log"', "log", PRIMARY, False), ("appendonly yes\nappenddirname log", "appendonlydir", PRIMARY, True),
    ('appendonly no\nsave 3600 1', "dump.rdb", PRIMARY, False), ("appendonly no\nsave 3600 1\ndbfilename all.rdb", "all.rdb", PRIMARY, False),
    ("appendonly no\nsave 3600 1\ndbfilename all.rdb", "dump.rdb", PRIMARY, True), ('appendonly no\nsave ""', "dump.rdb", PRIMARY, True),
])
@pytest.mark.hazard("H40")
def test_a_primary_without_its_data_waits(tmp_path: Path, conf: str, there: str, node: str, waits: bool) -> None:
    for name in ("etc", "data", "bin"):
        (tmp_path / name).mkdir()
    for name in ("valkey-server", "sleep"):
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\necho {name} called\n")
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "etc/redis.conf").write_text(f"port 6379\n{conf}\n")
    (tmp_path / "data/nodes.conf").write_text(f"{node}\n")
    if there:
        (tmp_path / "data" / there).mkdir()
    script = (ROOT / "roles/caching/files/start-redis.sh").read_text().replace("/tmp/", f"{tmp_path}/").replace("/etc/redis/", f"{tmp_path}/etc/")
    environment = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "REDIS_DATA": str(tmp_path / "data"), "POD_IP": "10.0.0.1"}
    done = subprocess.run(["sh", "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:-1] == ["sleep called"] * waits + ["valkey-server called"], done.stderr
