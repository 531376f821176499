# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pytest plugin: a test proves an operation only if a recorder saw the operation's calls while the test ran.

A recorder (a recording proxy; later also a reader of audit logs) is registered with `register` for as long as it
lives. It has two methods: `label(name)` puts a name on everything recorded from now on, and `records(name)` gives
what was recorded under it, as mappings with `method`, `path`, `status` (and `tls` for a TLS listener).
The plugin labels with the node id of the running test. It also puts the folders of tests into their order, and a
full run fails in the end where something that is declared as done was proved by none of its tests. Workers of a
parallel run (pytest-xdist) hand what they saw to the process that started them.
"""

from __future__ import annotations

import json
import typing as t
from collections import defaultdict
from collections.abc import Generator
from pathlib import Path

import pytest

from . import budget, operations

ORDER = ("gates", "unit", "contract", "integration", "faults", "benchmarks")
# Within the gates the pure ones come first, the tools that start other programs after them.
GATES_FIRST = ("test_rules.py", "test_operations_list.py")


class Recorder(t.Protocol):
    def label(self, name: str) -> t.Any: ...

    def records(self, name: str) -> t.Sequence[t.Mapping[str, t.Any]]: ...


class _State:
    """What is shared between the fixtures that register recorders and the plugin."""

    recorders: list[Recorder] = []
    kept: list[t.Mapping[str, t.Any]] = []
    running = ""


def register(recorder: Recorder) -> None:
    """From now on this recorder's requests count for the test that runs."""
    _State.recorders.append(recorder)
    if _State.running:
        recorder.label(_State.running)


def unregister(recorder: Recorder) -> None:
    """Call it before a recorder is closed: what it saw in the running test is kept."""
    if recorder in _State.recorders:
        forget(recorder)
        keep(recorder)


def forget(recorder: Recorder) -> None:
    """It can't be asked any more."""
    if recorder in _State.recorders:
        _State.recorders.remove(recorder)


def keep(recorder: Recorder) -> None:
    """Call it before a recorder forgets its records: what it saw in the running test still counts."""
    if _State.running:
        _State.kept.extend(recorder.records(_State.running))


def _seen() -> tuple[list[t.Mapping[str, t.Any]], list[str]]:
    """All records of the running test, and the recorders that could not be asked."""
    records, broken = list(_State.kept), []
    for recorder in list(_State.recorders):
        try:
            records.extend(recorder.records(_State.running))
        except Exception as error:
            broken.append(f"a recorder could not be asked: {type(error).__name__}: {error}")
    return records, broken


def _claims(item: pytest.Item, mark: str) -> list[str]:
    return sorted({name for marker in item.iter_markers(mark) for name in marker.args})


def _platforms(item: pytest.Item) -> set[str]:
    """Of a test that runs once for each platform, the one of this run; of any other, all."""
    given = getattr(getattr(item, "callspec", None), "params", {}).values()
    return {one for one in given if one in operations.PLATFORMS} or set(operations.PLATFORMS)


class Coverage:
    """Collects which ids were proved by which tests in this run."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.catalogue = operations.load()
        self.proved: dict[str, set[str]] = defaultdict(set)
        self.skipped: dict[str, set[str]] = defaultdict(set)
        self.later: set[str] = set()      # ids that only campaigns claim, which this run leaves out, or tests that it had no time for
        self.full = False
        self.handed: list[bool] = []
        self.campaign = config.option.markexpr == "campaign"

    # ---- collection

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        root = self.config.rootpath

        def rank(item: pytest.Item) -> tuple[int, int]:
            parts = item.path.relative_to(root).parts if item.path.is_relative_to(root) else item.path.parts
            place = next((ORDER.index(part) for part in parts if part in ORDER), len(ORDER) - 2)
            name = item.path.name
            return place, GATES_FIRST.index(name) if name in GATES_FIRST else len(GATES_FIRST)

        items.sort(key=rank)
        for item in items:
            known = {"operation": set(self.catalogue.operations), "hazard": set(self.catalogue.hazards)}
            for mark, names in known.items():
                wrong = [name for name in _claims(item, mark) if name not in names]
                if wrong:
                    raise pytest.UsageError(f"{item.nodeid}: unknown {mark} {', '.join(wrong)}")
        of_now, of_campaigns = ({name for item in items if bool(item.get_closest_marker("campaign")) is long
                                 for mark in ("operation", "hazard") for name in _claims(item, mark)} for long in (False, True))
        self.later = of_campaigns - of_now
        option = self.config.option
        narrowed = (
            option.keyword or option.markexpr or getattr(option, "lf", False) or getattr(option, "deselect", None)
        )
        # the platforms' own tests are there only for who asks for them
        here = {path for path in (root / "tests").rglob("test_*.py") if not {"output", "platforms"} & set(path.parts)}
        self.full = not narrowed and here <= {item.path for item in items}

    # ---- one test

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        _State.running = item.nodeid
        _State.kept = []
        for recorder in list(_State.recorders):
            recorder.label(item.nodeid)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        elsewhere = set(operations.PLATFORMS) - _platforms(item)
        wanted = [name for name in _claims(item, "operation") if self.catalogue.operations[name].kind not in elsewhere]
        hazards = _claims(item, "hazard")
        if report.skipped:
            for name in [*wanted, *hazards]:
                self.skipped[name].add(item.nodeid)
        if budget.left_out(report):
            self.later.update([*wanted, *hazards])
        if report.when != "call" or not report.passed or hasattr(report, "wasxfail") or not (wanted or hazards):
            return report
        records, broken = _seen()
        unproved = []
        for name in wanted:
            missing = self.catalogue.operations[name].missing(records)
            if missing:
                unproved.append(f"{name} is claimed, but no recorder saw {', '.join(missing)} done in this test")
            else:
                self.proved[name].add(item.nodeid)
        if unproved:
            report.outcome = "failed"
            report.longrepr = "\n".join([*unproved, *broken])
            return report
        for name in hazards:
            self.proved[name].add(item.nodeid)
        return report

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_teardown(self) -> None:
        _State.kept = []

    # ---- the run

    def gaps(self) -> list[str]:
        """Ids that are declared as done and were proved by no test of this run, though it was not a campaign's turn."""
        return [name for name in self.catalogue.claimed if not self.proved.get(name) and name not in self.later]

    def write(self, path: Path) -> None:
        """Write the observations, one list of tests for each proved id; campaigns add theirs to those of the last full run."""
        tests = {
            name: sorted({node.partition("[")[0] for node in nodes}) for name, nodes in sorted(self.proved.items())
        }
        before = json.loads(path.read_text()) if self.campaign and path.exists() else {"full": False, "proved": {}}
        for name, nodes in before["proved"].items():
            tests[name] = sorted({*nodes, *tests.get(name, [])})
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"full": self.full or before["full"], "proved": tests}, indent=2) + "\n", encoding="utf-8")

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        handed = getattr(self.config, "workeroutput", None)
        if handed is not None:
            handed["operations"] = (self.full, {name: sorted(nodes) for name, nodes in self.proved.items()}, sorted(self.later))
            return
        chosen = self.config.getoption("operations_report")
        ended = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) and not session.shouldfail
        if chosen:
            self.write(Path(chosen))
        if (self.full or self.campaign) and ended and not self.config.option.collectonly:
            if not chosen:
                self.write(self.config.rootpath / "build" / "operations.json")
            if self.full and self.gaps():
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: t.Any) -> None:
        """A worker has ended; one that died has handed over nothing, and its run is none of all tests."""
        full, proved, later = getattr(node, "workeroutput", {}).get("operations", (False, {}, []))
        self.later.update(later)
        self.handed.append(full)
        self.full = all(self.handed)
        for name, nodes in proved.items():
            self.proved[name].update(nodes)

    def pytest_terminal_summary(self, terminalreporter: t.Any) -> None:
        if self.full and self.gaps() and not self.config.option.collectonly:
            told = f"declared as done in tests/operations.yml, but proved by no test of this run: {', '.join(self.gaps())}"
            terminalreporter.write_line(f"FAILED {told}", red=True)


COVERAGE = pytest.StashKey[Coverage]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--operations-report",
        help="write the observed operations here (default: build/operations.json after a full run)",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[COVERAGE] = Coverage(config)
    config.pluginmanager.register(config.stash[COVERAGE], "exalt-operations")
