# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of platform × operation: its rows, a fleet on some platform as they see it, and, as a plugin, what became of each."""

from __future__ import annotations

import abc
import importlib
import json
import typing as t
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.fleet import paths
from tests.fleet.images.catalogue import SERVICE_VERSIONS
from tests.harness.plays import Outcome

# platform -> the module whose fleet(name, request) gives it; a platform adds itself here
HOMES = {"kubernetes": "tests.harness.matrix_kubernetes", "compose": "tests.harness.matrix_hosts", "systemd": "tests.harness.matrix_hosts"}
# A machine that runs all fleets at once answers late: that is no finding about a fleet
PATIENT = {"response_time": {"target": 10000, "warning": 30000, "critical": 60000}}
RESULTS = paths.ROOT / "build" / "platforms.json"
Function = t.TypeVar("Function", bound=Callable[..., t.Any])


class Platform(abc.ABC):
    """What the table needs of a platform; what is common is the playbooks."""

    name: str
    other_size = 4      # to which a fleet of three instances can be scaled
    authority: t.ClassVar[dict[str, t.Any]] = {}      # caching_ca of a fleet with TLS
    balanced = True     # somebody sends clients elsewhere before an instance is stopped
    redis_server = "/usr/bin/redis-server"    # for drills, where the modules run
    older, newer = SERVICE_VERSIONS

    def __init__(self) -> None:
        self.also: dict[str, t.Any] = {}      # what else is declared from now on

    @abc.abstractmethod
    def play(self, playbook: str, *arguments: str, check: bool = False, **variables: t.Any) -> Outcome:
        """A playbook on this fleet, with its declared state."""

    @abc.abstractmethod
    def members(self) -> dict[str, str]:
        """Names and identities; an identity is another one when its process is."""

    @abc.abstractmethod
    def versions(self) -> set[str]:
        """Which versions of the service run."""

    @abc.abstractmethod
    def faulty(self, fault: str) -> dict[str, t.Any]:
        """Variables of a newer version that has this fault."""

    def broken(self) -> dict[str, t.Any]:
        """Variables of a service whose process dies again and again."""
        return self.faulty("crash-loop")

    @abc.abstractmethod
    def addresses(self) -> list[str]:
        """Where clients find the service now, as host:port."""

    @abc.abstractmethod
    def token(self, name: str = "admin_token") -> str:
        """A secret of the fleet."""

    def newer_redis(self) -> dict[str, t.Any]:
        """Variables of another version of Redis; nothing where the platform installs none."""
        return {}

    @abc.abstractmethod
    def instances(self) -> int:
        """How many instances of the service run."""

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Fails where something of the fleet was changed meanwhile; a platform that sees more than its members looks closer."""
        before = self.members()
        yield
        assert self.members() == before

    @abc.abstractmethod
    def drift(self) -> None:
        """Somebody changes one thing by hand that the collection has written."""

    @abc.abstractmethod
    def drifted(self) -> bool:
        """Whether that is so."""

    @abc.abstractmethod
    def spoil_secret(self) -> None:
        """Somebody changes by hand what the service reads its secrets from."""

    @abc.abstractmethod
    def spoiled(self) -> bool:
        """Whether that is so."""

    @abc.abstractmethod
    def fill_cache(self) -> None:
        """Every instance has something in a cache on disk."""

    @abc.abstractmethod
    def cached(self) -> bool:
        """Whether one has it still."""

    @abc.abstractmethod
    def lose_redis(self) -> str:
        """A primary of Redis loses its process; its name."""

    def unlock(self) -> None:
        """The lock of a run that was killed is given back, where that can be done from here; else the next run waits for its end."""

    def store(self) -> dict[str, t.Any]:
        """Variables of the store of backups, which the fleet's modules can reach."""
        return {"caching_store_url": "file:///tmp/exalt-caching-store", "caching_signing_key": "for the table of operations"}


def row(name: str) -> Callable[[Function], Function]:
    """Marks a test as this row of the table. A row is what an operator does, in the order of the file."""
    def mark(function: Function) -> Function:
        function.row = name  # type: ignore[attr-defined]
        return function

    return mark


def opened(name: str, request: pytest.FixtureRequest) -> AbstractContextManager[Platform]:
    """The fleet of a platform, for as long as the context lasts."""
    return t.cast("AbstractContextManager[Platform]", importlib.import_module(HOMES[name]).fleet(name, request))


@contextmanager
def secured(name: str, request: pytest.FixtureRequest, folder: Path) -> Iterator[Platform]:
    """A fleet with TLS everywhere, whose authority is in this folder; nothing of it is there yet."""
    module = importlib.import_module(HOMES[name])
    authority = {"path": str(folder / "authority"), "passphrase": "for trials only"}
    with module.secured(name, request, {"caching_redis_tls": True, "caching_ca": authority}, folder) as fleet:
        fleet.authority = authority
        yield fleet


class Table:
    """What became of each row on each platform: ``ok`` with its seconds, or ``failed``. Platforms of earlier runs stay as they were."""

    def __init__(self) -> None:
        self.cells: dict[str, dict[str, str]] = {}

    def add(self, report: pytest.TestReport) -> None:
        place = dict(report.user_properties).get("row")
        if place and (report.when == "call" or report.failed):
            platform, name = t.cast("tuple[str, str]", place)
            seen = f"ok, {report.duration:.0f} s" if report.passed else "skipped" if report.skipped else "failed"
            self.cells.setdefault(platform, {})[name] = seen

    def lines(self) -> Iterator[str]:
        """As Markdown."""
        names = list(dict.fromkeys(name for cells in self.cells.values() for name in cells))
        yield f"| operation | {' | '.join(self.cells)} |"
        yield f"|---|{'---|' * len(self.cells)}"
        for name in names:
            yield f"| {name} | {' | '.join(cells.get(name, '-') for cells in self.cells.values())} |"

    def write(self, path: Path = RESULTS) -> None:
        before = json.loads(path.read_text()) if path.exists() else {}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**before, **self.cells}, indent=2) + "\n")


TABLE = Table()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """So that its report says which row of the table it is, also where it comes from another process."""
    if name := getattr(getattr(item, "function", None), "row", ""):
        item.user_properties.append(("row", (getattr(item, "callspec").params["platform"], name)))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    TABLE.add(report)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table, below what failed."""
    if TABLE.cells:
        terminalreporter.section("platform × operation")
        for line in TABLE.lines():
            terminalreporter.write_line(line)
        TABLE.write()
