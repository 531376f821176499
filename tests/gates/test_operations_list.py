# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of operations, the plugin that counts proofs, and the generated page."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import budget, operations, operations_table

PLANTED = """
import pytest
from tests.harness import coverage

class Recorder:
    def __init__(self, *calls):
        self.calls, self.name, self.log = calls, "", []

    def label(self, name):
        self.name = name

    def request(self):
        self.log += [{"method": m, "path": p, "status": s, "label": self.name} for m, p, s in self.calls]

    def records(self, name):
        return [record for record in self.log if record["label"] == name]

@pytest.fixture(scope="module")
def deleting():
    recorder = Recorder(("DELETE", "/api/v1/cache/regions/old%2Fnew?x=1", 204))
    coverage.register(recorder)
    yield recorder
    coverage.unregister(recorder)

@pytest.mark.operation("S031")
def test_proves(deleting):
    deleting.request()

@pytest.mark.operation("S031")
def test_claims_without_calling(deleting):
    pass

@pytest.mark.operation("S031")
def test_calls_something_else():
    recorder = Recorder(("DELETE", "/api/v1/cache/regions/a/clear", 204), ("GET", "/api/v1/cache/regions/a", 200))
    coverage.register(recorder)
    recorder.request()

@pytest.mark.operation("S031")
def test_was_refused():
    recorder = Recorder(("DELETE", "/api/v1/cache/regions/a", 403))
    coverage.register(recorder)
    recorder.request()

@pytest.mark.operation("S031")
def test_proves_with_a_recorder_of_its_own():
    recorder = Recorder(("DELETE", "/api/v1/cache/regions/a", 200))
    coverage.register(recorder)
    recorder.request()
    coverage.unregister(recorder)

@pytest.mark.operation("S031")
def test_proves_though_the_recorder_forgets():
    recorder = Recorder(("DELETE", "/api/v1/cache/regions/a", 200))
    coverage.register(recorder)
    recorder.request()
    coverage.keep(recorder)
    recorder.log = []

@pytest.mark.operation("S031")
def test_has_a_broken_recorder():
    recorder = Recorder()
    recorder.records = lambda name: 1 / 0
    coverage.register(recorder)

@pytest.mark.operation("S048")
@pytest.mark.hazard("H16")
def test_proves_data():
    pass

@pytest.mark.operation("S049")
@pytest.mark.hazard("H22")
def test_fails():
    assert False

@pytest.mark.operation("S117")
def test_nothing_can_be_observed_yet():
    pass

@pytest.mark.operation("S001", "S003")
@pytest.mark.parametrize("platform", ["kubernetes", "compose"])
def test_of_platforms(platform):
    deployment = "/apis/apps/v1/namespaces/some/deployments/caching-service?fieldManager=x"
    recorder = Recorder({"kubernetes": ("PATCH", deployment, 201), "compose": ("START", "/caching-service", 200)}[platform])
    coverage.register(recorder)
    recorder.request()
    coverage.unregister(recorder)

@pytest.mark.operation("S027")
@pytest.mark.skip(reason="elsewhere")
def test_skipped():
    pass
"""


def run_planted(
    folder: Path, text: str, *names: str, more: tuple[str, ...] = ()
) -> tuple[subprocess.CompletedProcess[str], dict[str, list[str]]]:
    """Run planted test files with the plugin, in a project of their own."""
    for name in names or ("test_planted.py",):
        (folder / "tests" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "tests" / name).write_text(text, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    report = folder / "operations.json"
    command = [sys.executable, "-m", "pytest", "-p", "tests.harness.coverage", "-p", "no:cacheprovider", "-rA"]
    command += ["--import-mode=importlib", f"--operations-report={report}", *(more or ["tests"])]
    ours = ("PYTEST_XDIST_WORKER", budget.END)      # of the run that this test belongs to
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    environment |= {"PYTHONPATH": str(operations.ROOT), "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, text=True, capture_output=True, timeout=60, check=False)
    return done, json.loads(report.read_text(encoding="utf-8"))["proved"] if report.exists() else {}


def test_the_list_is_whole() -> None:
    catalogue = operations.load()
    assert list(catalogue.operations) == [f"S{number:03}" for number in range(1, 174)]
    assert set(catalogue.hazards) >= {f"H{number:02}" for number in range(1, 63)}
    requests = {(call.method, call.path) for entry in catalogue.operations.values() if entry.kind == "http" for call in entry.calls}
    # 67 endpoints, the TLS one like the plain one, the two flags by name, two outbound requests
    assert len(requests) == 67 - 1 + 1 + 2


def test_only_what_was_seen_counts(tmp_path: Path) -> None:
    done, proved = run_planted(tmp_path, PLANTED)
    verdicts = {name: verdict for verdict, name in re.findall(r"^(PASSED|FAILED) \S+::(\w+)", done.stdout, re.M)}
    assert verdicts == {
        "test_proves": "PASSED",
        "test_claims_without_calling": "FAILED",
        "test_calls_something_else": "FAILED",
        "test_was_refused": "FAILED",
        "test_proves_with_a_recorder_of_its_own": "PASSED",
        "test_proves_though_the_recorder_forgets": "PASSED",
        "test_has_a_broken_recorder": "FAILED",
        "test_proves_data": "PASSED",
        "test_fails": "FAILED",
        "test_nothing_can_be_observed_yet": "FAILED",
        "test_of_platforms": "PASSED",
    }, done.stdout
    assert "S031 is claimed, but no recorder saw DELETE /api/v1/cache/regions/{region} done in this test" in done.stdout
    assert "a recorder could not be asked: ZeroDivisionError" in done.stdout
    place = "tests/test_planted.py::"
    assert proved == {
        "S031": [
            place + "test_proves",
            place + "test_proves_though_the_recorder_forgets",
            place + "test_proves_with_a_recorder_of_its_own",
        ],
        "S001": [place + "test_of_platforms"],
        "S003": [place + "test_of_platforms"],
        "S048": [place + "test_proves_data"],
        "H16": [place + "test_proves_data"],
    }


FOLDERS = ("contract", "faults", "gates", "integration/redis", "unit")
PASSES = """
def test_it():
    pass
"""
TOLD = "declared as done in tests/operations.yml, but proved by no test of this run: "


def test_folders_run_from_fast_to_slow_and_only_a_full_run_tells_what_is_missing(tmp_path: Path) -> None:
    names = [f"{folder}/test_it.py" for folder in FOLDERS]
    done, _proved = run_planted(tmp_path, PASSES, *names, "gates/test_rules.py", more=("-v", "tests"))
    order = re.findall(r"^tests/(\S+)/test_(\w+)\.py::", done.stdout, re.M)[: len(names) + 1]
    assert order == [("gates", "rules"), ("gates", "it"), ("unit", "it"), ("contract", "it"), ("integration/redis", "it"), ("faults", "it")]
    claimed = operations.load().claimed
    assert claimed and TOLD + ", ".join(claimed) in done.stdout and done.returncode == 1
    for part in (
        ("tests/unit",),
        ("tests", "-k", "test_it"),
        ("tests", "--deselect", "tests/unit/test_it.py::test_it"),
    ):
        done, _proved = run_planted(tmp_path, PASSES, *names, more=part)
        assert done.returncode == 0 and TOLD not in done.stdout, part


LONG = """
import pytest

@pytest.mark.hazard("H17")
def test_short():
    pass

@pytest.mark.campaign
@pytest.mark.hazard("H16", "H17")
def test_long():
    pass
"""


@pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-p", "tests.harness.workers", "-n", "2")], ids=["one", "two"])
def test_what_only_campaigns_prove_is_no_gap_and_they_add_it(tmp_path: Path, workers: tuple[str, ...]) -> None:
    plugin = ("-p", "tests.harness.campaigns", *workers)
    done, proved = run_planted(tmp_path, LONG, more=(*plugin, "tests"))
    told = done.stdout.partition(TOLD)[2].partition("\n")[0].split(", ")
    assert set(proved) == {"H17"} and "1 passed" in done.stdout and "S031" in told and not {"H16", "H17"} & set(told), done.stdout
    done, proved = run_planted(tmp_path, LONG, more=(*plugin, "-m", "campaign", "tests"))
    assert done.returncode == 0 and {name: len(tests) for name, tests in proved.items()} == {"H16": 1, "H17": 2}, done.stdout
    _done, proved = run_planted(tmp_path, LONG, more=(*plugin, "tests/test_planted.py"))
    assert set(proved) == {"H16", "H17"}, "who names a file wants all of it"


@pytest.mark.parametrize(("platforms", "proved"), [("", {"H16", "H17"}), ("compose", {"H16", "H17"}), ("all", {"H17"})])
def test_what_is_long_is_a_campaign_where_all_platforms_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platforms: str, proved: set[str]
) -> None:
    monkeypatch.setenv("PLATFORMS", platforms)
    plugin = ("-p", "tests.harness.campaigns")
    done, seen = run_planted(tmp_path, LONG.replace("mark.campaign", "mark.long"), more=(*plugin, "tests"))
    assert set(seen) == proved, done.stdout
    done, _seen = run_planted(tmp_path, LONG.replace("mark.campaign", "mark.long"), more=(*plugin, "-m", "campaign", "tests"))
    assert ("1 passed" in done.stdout) is (platforms == "all"), done.stdout


@pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-p", "tests.harness.workers", "-n", "2")], ids=["one", "two"])
def test_what_has_not_begun_in_time_is_left_out_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: tuple[str, ...]) -> None:
    """The time ends with the first test; what only the second would prove is no gap, and the run passes but for the others."""
    monkeypatch.setenv("BUDGET", "60")
    over = f'test_short():\n    import os; assert float(os.environ["{budget.END}"]) > 0; os.environ["{budget.END}"] = "0"'
    slow = LONG.replace("@pytest.mark.campaign\n", "").replace("test_short():\n    pass", over)
    done, proved = run_planted(tmp_path, slow, more=("-p", "tests.harness.budget", *workers, "tests"))
    told = done.stdout.partition(TOLD)[2].partition("\n")[0].split(", ")
    assert set(proved) == {"H17"} and "1 passed, 1 skipped" in done.stdout and "S031" in told and "H16" not in told, done.stdout
    assert "LEFT OUT: 1 tests were not begun" in done.stdout and "1 of tests/test_planted.py" in done.stdout, done.stdout
    monkeypatch.setenv("BUDGET", "an hour")
    done, _proved = run_planted(tmp_path, slow, more=("-p", "tests.harness.budget", *workers, "tests"))
    assert done.returncode == 4 and "BUDGET: 'an hour' is no number of minutes" in done.stderr, done.stderr


def test_workers_hand_over_what_they_saw(tmp_path: Path) -> None:
    """Two files on two workers: each proves something, and what both together don't prove is told once."""
    both = ("-p", "xdist", "-p", "tests.harness.workers", "-n", "2", "tests")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_other.py").write_text(PLANTED.replace("H16", "H17"), encoding="utf-8")
    done, proved = run_planted(tmp_path, PLANTED, more=both)
    assert {"S001", "S003", "S031", "S048", "H16", "H17"} == set(proved), done.stdout
    assert len(proved["S031"]) == 6 and len(proved["S048"]) == 2
    assert done.stdout.count(TOLD) == 1 and "S048" not in done.stdout.partition(TOLD)[2].partition("\n")[0]


def test_an_unknown_id_is_an_error(tmp_path: Path) -> None:
    done, _proved = run_planted(tmp_path, 'import pytest\n@pytest.mark.operation("S999")\ndef test_it(): pass\n')
    assert done.returncode != 0
    assert "unknown operation S999" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("/api/v1/cache/regions/a", True),
        ("/api/v1/cache/regions/a%2Fb?force=true", True),
        ("/api/v1/cache/regions/a/clear", False),
        ("/api/v1/cache/regions/", False),
        ("/x/api/v1/cache/regions/a", False),
    ],
)
def test_path_templates(path: str, seen: bool) -> None:
    call = operations.Call("DELETE", "/api/v1/cache/regions/{region}", 8403)
    assert call.seen_in([{"method": "delete", "path": path, "status": 200}]) is seen


def test_a_plain_request_is_no_proof_for_tls() -> None:
    call = operations.Call("GET", "/actuator/health", 8443)
    record = {"method": "GET", "path": "/actuator/health", "status": 200}
    assert not call.seen_in([record])
    assert call.seen_in([{**record, "tls": True}])


def test_the_page_lists_every_id_and_its_proofs() -> None:
    page = operations_table.render(operations.load(), {"S031": ["tests/integration/test_x.py::test_y"]})
    rows = {line.split(" | ")[0].removeprefix("| "): line for line in page.splitlines() if line.startswith("| ")}
    assert set(rows) - {"id"} == {*operations.load().operations, *operations.load().hazards}
    assert "`integration/test_x.py::test_y`" in rows["S031"]
    assert "Proved now: 1 of 173 operations" in page


def test_proofs_named_in_the_docs_exist() -> None:
    page = operations.ROOT / "docs" / "operations.md"
    for file, name in set(re.findall(r"`([^`\s]+\.py)::(?:\w+::)*(\w+)`", page.read_text(encoding="utf-8"))):
        source = operations.ROOT / "tests" / file
        assert source.exists() and f"def {name}(" in source.read_text(encoding="utf-8"), f"{file}::{name}: make docs"
