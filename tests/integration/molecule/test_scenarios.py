# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Molecule scenarios: create, converge, idempotence, verify, destroy, and nothing written into the source tree."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fleet import paths
from tests.harness import process

SCENARIOS = paths.ROOT / "extensions" / "molecule"


def written() -> set[Path]:
    """What a careless tool leaves: beside the scenarios, and in folders at the top of the tree."""
    return {*SCENARIOS.rglob("*"), paths.ROOT / ".ansible", paths.ROOT / ".cache"}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    folder = paths.cache() / "molecule"
    environment = process.environment({
        "MOLECULE_EPHEMERAL_DIRECTORY": str(folder / arguments[-1]),
        "EXALT_CACHING_CACHE": str(paths.cache()), "NO_COLOR": "1", "EXALT_CACHING_NETWORK": "",   # the fleet of inventories/local
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "VIRTUAL_ENV": str(folder),      # Molecule keeps its own files in the folder .ansible below
    })
    (folder / ".ansible").mkdir(parents=True, exist_ok=True)
    return subprocess.run([sys.executable, "-m", "molecule", *arguments], cwd=paths.ROOT, env=environment, text=True, check=False,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)


def passes(scenario: str) -> None:
    """The whole sequence; a fleet that runs already is used, and stays."""
    before = {path for path in written() if path.exists()}
    done = run("test", "-s", scenario)
    assert done.returncode == 0, done.stdout[-6000:]
    for step in ("create", "converge", "idempotence", "verify", "destroy"):
        assert f"{scenario} > {step}: Executed: Successful" in done.stdout, done.stdout[-6000:]
    assert {path for path in written() if path.exists()} == before


@pytest.mark.campaign
@pytest.mark.slow
def test_scenario_local() -> None:
    passes("local")
