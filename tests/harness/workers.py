# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pytest plugin: several workers (pytest-xdist), each with a local fleet on addresses of its own.

A file of tests is the unit of work. The gates share one copy of the collection, and the fleet of a platform is there
once, so these are units, too. Those of platforms come last, side by side: where a run has to end in time (BUDGET), they are what it cuts.
"""

from __future__ import annotations

import os
import subprocess
import sys
import typing as t
from collections.abc import Iterator

import pytest

from tests.fleet import paths


def network(worker: int) -> str:
    """A worker has its own: 127.0.1 for the first."""
    return f"127.0.{1 + worker}"


# Before anything reads the addresses.
if os.environ.get("PYTEST_XDIST_WORKER"):
    os.environ["EXALT_CACHING_NETWORK"] = network(int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw")))


GATES, PLATFORMS = "tests/gates/", "tests/integration/platforms/"


def unit(nodeid: str) -> str:
    """What a test is given to a worker with: its file, all gates, or all of a platform (Compose and systemd share one engine)."""
    path = nodeid.partition("::")[0]
    if path.startswith(PLATFORMS):
        return PLATFORMS + ("kubernetes" if "kubernetes" in nodeid.removeprefix(PLATFORMS) else "hosts")
    return GATES if path.startswith(GATES) else path


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Sorts after everybody else has."""
    yield
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: item.nodeid.startswith(PLATFORMS))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: t.Any) -> t.Any:
    from xdist.scheduler import LoadScopeScheduling

    class Units(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return unit(nodeid)

    config.option.loadscopereorder = False
    return Units(config, log)


THEIRS = pytest.StashKey[set[str]]()


def _fleets(config: pytest.Config) -> set[str]:
    """Networks of the workers' fleets that are there."""
    workers = 0 if "PYTEST_XDIST_WORKER" in os.environ else getattr(config.option, "numprocesses", None) or 0     # a worker, or a run inside one
    return {network(worker) for worker in range(workers) if paths.fleet_state(f"local-{network(worker)}").exists()}


def pytest_configure(config: pytest.Config) -> None:
    config.stash[THEIRS] = _fleets(config)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Ends what workers left that could not end it themselves, as a run was broken off. What was there before is of another run."""
    for place in sorted(_fleets(config) - config.stash.get(THEIRS, set())):
        subprocess.run([sys.executable, "-m", "tests.fleet.local", "down"], cwd=paths.ROOT, check=False, stdout=subprocess.DEVNULL,
                       env={**os.environ, "EXALT_CACHING_NETWORK": place})
