# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet that playbook deploy has made, on a real Docker Engine and on real hosts with systemd: what a second deploy changes, and what not.

The tests follow each other, on the fleet that the table of operations has left where that ran before.
"""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from tests.fleet.systemd import lifecycle as systemd
from tests.fleet.systemd.layout import REDIS_HOSTS
from tests.harness.hosts import HostsFleet, SystemdFleet
from tests.harness.matrix_hosts import Deployed, of
from tests.harness.plays import Outcome
from tests.harness.until import until

CRASH = "the schema of the configuration is newer than this version"
TRIAL, LINES = "a line of the trial, long enough to matter:", 3000


@pytest.fixture(scope="module")
def made(hosts: HostsFleet) -> Deployed:
    fleet = of(hosts)
    if not fleet.is_ours():
        fleet.clear()
        done = fleet.play("deploy")
        assert done.rc == 0, done.stdout
    return fleet


class Stale:
    """A host of the service that was away during a change, and comes back with what it had; on Compose there is one only."""

    FILES = ("application.yml", "exalt-caching-revisions.json", "jvm.env")

    def __init__(self, made: Deployed) -> None:
        self.fleet = made.hosts
        self.shell("cd /etc/caching-service && mkdir -p /tmp/stale && cp -p {} /tmp/stale/")

    def shell(self, script: str) -> str:
        return self.fleet.on("service-1", "sh", "-c", script.format(" ".join(self.FILES))) if isinstance(self.fleet, SystemdFleet) else ""

    def comes_back(self) -> None:
        self.shell("cd /tmp/stale && cp -p {} /etc/caching-service/")

    def was_no_base(self, outcome: Outcome) -> None:
        if isinstance(self.fleet, SystemdFleet):
            assert "the newest version counts, that of service-2" in " ".join(outcome.stdout.split()), outcome.stdout
            texts = [self.fleet.on(f"service-{number}", "cat", f"/etc/caching-service/{name}") for name in self.FILES[:2] for number in (1, 2)]
            assert texts[0] == texts[1] and texts[2] == texts[3] and "note: kept" in texts[0]


def changed(made: Deployed) -> dict[str, object]:
    return {"caching_environment": {**made.declared["caching_environment"], "EXALT_NOTE": "changed"}}


@pytest.mark.slow
@pytest.mark.hazard("H18")
def test_options_of_the_virtual_machine_wait_for_the_next_deploy(made: Deployed, tmp_path: Path) -> None:
    members, files = made.members(), made.snapshot()
    refused = made.play("configure", caching_jvm="-Xmx8g")
    assert refused.rc != 0 and "caching_jvm: -Xmx of 8192 MiB does not fit the container's 512 MiB" in refused.stdout, refused.stdout
    assert made.snapshot() == files
    stale = Stale(made)
    options = "-Xmx200m -Xlog:gc*:file=/tmp/gc.log"      # which a shell would quote
    done = made.play("configure", caching_jvm=options, caching_configuration={"trial": {"note": "kept"}})
    assert done.rc == 0 and "JAVA_OPTS is pending until" in done.stdout and made.members() == members, done.stdout
    assert made.snapshot() != files, "the comparison does not see a change"
    stale.comes_back()
    if made.name == "compose":      # where a container that starts again reads the file, and has the options that it was made with
        victim = sorted(made.hosts.service())[0]
        made.hosts.verbs(tmp_path, [("restart_one", "1", {"caching_verb_member": victim})])
        words = [line for line in made.play("status").stdout.splitlines() if "is pending until" in line]
        assert [victim in line for line in sorted(words)] == [True, False], words
    rolled = made.play("deploy", caching_jvm=options, **changed(made))
    assert rolled.rc == 0 and "pending" not in rolled.stdout and "EXALT_NOTE" in rolled.stdout, rolled.stdout
    stale.was_no_base(rolled)
    after = made.members()
    assert {name for name in members if after.get(name) == members[name]} == {name for name in members if "redis" in name}, "Redis was touched"
    assert len(after) == len(members) == 9


@pytest.mark.slow
def test_what_is_broken_ends_with_its_words_and_the_others_go_on(made: Deployed) -> None:
    before = made.members()
    made.expose()       # which the deploy puts right, see below
    failed = made.play("deploy", **made.broken(), caching_platform_timeout="PT15S")
    assert failed.rc != 0 and CRASH in failed.stdout and "Traceback" not in failed.stdout, failed.stdout
    after = made.members()
    assert sum(after.get(name) == one for name, one in before.items() if "service" in name) == 2, "two of three go on as before"
    back = made.play("deploy")
    assert back.rc == 0 and made.instances() == 3, back.stdout


def test_redis_that_runs_stays_without_tls(made: Deployed, tmp_path: Path) -> None:
    for more in ({"caching_ca": {"path": str(tmp_path / "authority")}}, {"caching_manage_certificates": False}):
        with made.unchanged():
            refused = made.play("deploy", caching_redis_tls=True, caching_certificate_paths={"client": str(tmp_path / "client")}, **more)
            assert refused.rc != 0 and "runs without TLS" in refused.stdout, refused.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("given", "why"), [
    ({"caching_redis_password": "another"}, "caching_redis_password: no node of Redis accepts it, and"),
    ({"caching_replicas": 0}, "caching_replicas is 0: that ends every instance without a flush"),
    ({"caching_redis_settings": {"save": {"900": 1}}}, "caching_redis_settings: save: a text, a number, null or a list of them, and no mapping"),
])
def test_what_would_spoil_it_is_refused_before_anything_is_written(made: Deployed, given: dict[str, t.Any], why: str) -> None:
    with made.unchanged():
        refused = made.play("deploy", **given)
    assert refused.rc != 0 and why in " ".join(refused.stdout.split()), refused.stdout


def test_replicas_are_on_other_hosts_than_their_primaries(made: Deployed) -> None:
    assert made.lacking() == []
    pairs = made.shards()
    assert len(pairs) == 3 and all(primary != replica for primary, replica in pairs), pairs


def test_secrets_are_read_by_nobody_else(made: Deployed) -> None:
    secrets = [made.hosts.state.secret(name).split()[0] for name in ("redis_password", "admin_token")]
    assert all(made.readable(one) == [] for one in secrets)
    assert made.readable("caching-service") != [], "the look for readable files finds nothing"


@pytest.mark.slow
@pytest.mark.hazard("H13")
def test_data_of_redis_stay_where_they_are(made: Deployed) -> None:
    with made.unchanged():
        refused = made.play("deploy", **made.elsewhere())
    assert refused.rc != 0 and "has its data in" in " ".join(refused.stdout.split()), refused.stdout


@pytest.mark.slow
@pytest.mark.hazard("H26", "H27")
def test_primaries_of_redis_start_anew_after_all_replicas(made: Deployed, tmp_path: Path) -> None:
    """What a killed stop has left goes with the deploy, and a one-off has what the service has: its password, whatever is in it."""
    keys, before, primaries = made.put(50), made.hosts.members(), made.primaries()
    _outcome, told = made.hosts.verbs(tmp_path, [("hold", "1", {}), ("one_off", "caching_verb_result", {"caching_verb_command": ["env"]})])
    assert {one.detail for one in made.hosts.service().values()} == {"no"}
    given = dict(line.split("=", 1) for line in told[-1]["stdout"].splitlines() if "=" in line)
    assert given["REDIS_PASSWORD"] == made.password() and given["CACHING_SERVICE_URL"].startswith("http://"), sorted(given)
    assert {"CACHING_REDIS_NODES", "CACHING_CONFIG", "JAVA_OPTS", "CACHING_DRAIN"} <= set(given)
    settings = {"caching_redis_settings": {**made.declared["caching_redis_settings"], "slowlog-max-len": 255}}
    made.declared.update(settings)
    done = made.play("deploy")
    assert done.rc == 0 and made.lacking() == [] and made.kept(keys) == 50, done.stdout
    began, places = made.began(), made.places()
    order = sorted(places, key=lambda name: began[name])
    assert {places[name] for name in order[3:]} == primaries, (order, primaries, done.stdout)
    after = made.hosts.members()
    assert all(name not in before or after[name].process != before[name].process for name in places), "one of them was left out"
    policy = {"compose": "unless-stopped", "systemd": "always"}[made.name]
    assert {one.detail for one in made.hosts.service().values()} == {policy}, "it is held still"


@pytest.mark.slow
@pytest.mark.hazard("H26")
def test_no_redis_node_starts_anew_while_a_primary_is_away(made: Deployed) -> None:
    if made.name != "systemd":
        pytest.skip("of hosts with systemd alone")
    fleet, before = t.cast(SystemdFleet, made.hosts), made.members()
    host, _colon, port = sorted(made.primaries())[0].partition(":")
    name = next(one.name for one in REDIS_HOSTS if one.address == host)
    fleet.on(name, "systemctl", "kill", "--signal=STOP", f"redis@{port}")
    try:
        refused = made.play("deploy", caching_redis_settings={**made.declared["caching_redis_settings"], "slowlog-max-len": 257},
                            caching_platform_timeout="PT10S")
    finally:
        fleet.on(name, "systemctl", "kill", "--signal=CONT", f"redis@{port}")
    assert refused.rc != 0 and "no Redis node starts anew while the cluster is not whole" in refused.stdout, refused.stdout
    assert made.members() == before
    until(lambda: made.lacking() == [], "the cluster is whole", 60)


@pytest.mark.hazard("H23")
def test_the_engine_rotates_logs_without_losing_a_line(made: Deployed) -> None:
    if made.name != "compose":
        pytest.skip("of Compose alone")
    engine, name = made.hosts.engine, sorted(made.hosts.service())[0]
    loop = f"i=0; while [ $i -lt {LINES} ]; do echo \"{TRIAL} $i\"; i=$((i+1)); done >/proc/1/fd/1"
    engine.docker("exec", name, "sh", "-c", loop)
    said = [line for line in engine.docker("logs", name).splitlines() if line.startswith(TRIAL)]
    assert said == [f"{TRIAL} {number}" for number in range(LINES)]
    path = Path(engine.docker("inspect", "--format", "{{.LogPath}}", name).strip())
    assert len(list(path.parent.glob(f"{path.name}*"))) > 1, "nothing was rotated"


@pytest.mark.slow
@pytest.mark.hazard("H23")
def test_a_log_that_is_written_to_is_rotated_without_losing_a_line(made: Deployed) -> None:
    if made.name != "systemd":
        pytest.skip("of hosts with systemd alone")
    fleet, folder = t.cast(SystemdFleet, made.hosts), "/var/log/caching-service"
    writer = f"exec >>{folder}/trial.log; i=0; while [ $i -lt {LINES * 10} ]; do echo \"{TRIAL} $i\"; i=$((i+1)); [ $((i % 50)) -gt 0 ] || sleep 0.02; done"
    fleet.engine.docker("exec", "--detach", f"{systemd.NAME}-service-1", "sh", "-c", writer)
    fleet.on("service-2", "touch", "-d", "40 days ago", f"{folder}/old.log-1.gz")
    fleet.on("service-2", "touch", f"{folder}/young.log-1.gz")
    until(lambda: int(fleet.on("service-1", "stat", "-c", "%s", f"{folder}/trial.log", check=False) or 0) > 100_000, "somebody writes", 60)
    given = {"caching_logs": {"rotate_over": "64k", "pattern": "*.log"}}
    before = made.snapshot(), fleet.on("service-2", "ls", folder)
    check = made.play("rotate_logs", check=True, **given)
    assert check.rc == 0 and "service-1: /var/log/caching-service/trial.log" in check.stdout, check.stdout
    assert f"logs removed: service-2: {folder}/old.log-1.gz" in " ".join(check.stdout.split())
    assert (made.snapshot(), fleet.on("service-2", "ls", folder)) == before
    done = made.play("rotate_logs", **given)
    assert done.rc == 0 and done.changed >= 2, done.stdout
    assert "old.log-1.gz" not in fleet.on("service-2", "ls", folder) and "young.log-1.gz" in fleet.on("service-2", "ls", folder)
    until(lambda: f"{TRIAL} {LINES * 10 - 1}" in fleet.on("service-1", "tail", "-n", "1", f"{folder}/trial.log"), "the writer has ended", 120)
    whole = fleet.on("service-1", "sh", "-c", f"cd {folder}; gzip -dc trial.log-*.gz; cat trial.log").splitlines()
    assert whole == [f"{TRIAL} {number}" for number in range(LINES * 10)]
    assert len(fleet.on("service-1", "sh", "-c", f"ls {folder}/trial.log-*.gz").split()) == 1
