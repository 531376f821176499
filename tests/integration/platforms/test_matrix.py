# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of platform × operation: one suite, on a fleet that playbook deploy has made. The tests follow each other."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pyrage
import pytest
import yaml

from tests.harness.matrix import Platform, row
from tests.harness.until import until

POOL = {"cache": {"redis": {"pool": {"maxTotal": 300}}}}
CACHE = {
    "caching_regions": [{"name": name, "default_ttl": "PT2H", "max_size": 500} for name in ("deployed", "categories")],
    "caching_features": [{"name": "write-through", "enabled": True, "regions": ["deployed"], "rollout_percentage": 25}],
    "caching_settings": {"redis_pool": {"max_total": 90, "max_idle": 40, "min_idle": 5}},
    "caching_strategies": {"deployed": "refresh-ahead"},
    "caching_schedules": [{"name": "nightly", "schedule": "0 1 * * *", "region": "deployed", "strategy": "popular-items"}],
    "caching_warm_region": "categories", "caching_invalidate_type": "key", "caching_invalidate_region": "deployed", "caching_invalidate_keys": "a, b",
    "caching_kpi_window": 1, "caching_fallback_reason": "a trial",
}
CHANGING = ("stop", "scale", "configure", "deploy")
SAVING = ("backup", "backup_config")


def redis(members: dict[str, str]) -> set[str]:
    """Identities of the nodes of Redis."""
    return {identity for name, identity in members.items() if "redis" in name}


@row("site in check mode, before there is a fleet")
def test_check_mode_of_site_makes_nothing(platform: Platform) -> None:
    with platform.unchanged():
        check = platform.play("site", check=True)
    assert check.rc == 0 and check.changed > 0, check.stdout


@row("site twice, the second changes nothing")
@pytest.mark.operation("S001", "S005")
def test_site_makes_the_fleet_and_then_changes_nothing(platform: Platform) -> None:
    first = platform.play("site")
    assert first.rc == 0 and first.changed > 0, first.stdout
    made = platform.members()
    with platform.unchanged():
        second = platform.play("site")
    assert second.rc == 0 and second.changed == 0 and platform.members() == made, second.stdout


def unchanged(platform: Platform, names: tuple[str, ...]) -> None:
    """These in check mode, one after the other, each with something to do."""
    with platform.unchanged():
        check = platform.play(" ".join(names), check=True, caching_replicas=platform.other_size, caching_configuration=POOL,
                              caching_version="2.5.0", **platform.store())
    records = check.custom["exalt_caching_run"]
    assert check.rc == 0 and [one["playbook"] for one in records] == [*names], check.stdout
    assert all(one["changes"] for one in records), records


@row("check mode changes nothing")
def test_check_mode_of_what_changes_a_fleet(platform: Platform) -> None:
    unchanged(platform, CHANGING)


@row("backups in check mode change nothing")
def test_check_mode_of_backups(platform: Platform) -> None:
    unchanged(platform, SAVING)


@row("stop, start")
@pytest.mark.operation("S002", "S003", "S004", "S008", "S010", "S011", "S012")
def test_stop_and_start(platform: Platform) -> None:
    assert platform.play("stop").rc == 0 and platform.instances() == 0
    started = platform.play("start")
    assert started.rc == 0 and platform.instances() == 3, started.stdout


@row("scale")
def test_scale(platform: Platform) -> None:
    other = platform.play("scale", caching_replicas=platform.other_size)
    assert other.rc == 0 and platform.instances() == platform.other_size, other.stdout
    back = platform.play("scale", caching_replicas=3)
    assert back.rc == 0 and platform.instances() == 3, back.stdout


@row("configuration change")
@pytest.mark.operation("S084")
def test_a_changed_configuration_is_read_without_a_restart(platform: Platform) -> None:
    before = platform.members()
    changed = platform.play("configure", caching_configuration=POOL)
    assert changed.rc == 0 and "cache.redis.pool.maxTotal: 256 → 300 (live)" in changed.stdout, changed.stdout
    assert platform.members() == before and changed.results("cache_task")[0]["changed"]
    assert platform.play("configure", caching_configuration=POOL).changed == 0
    back = platform.play("configure", caching_configuration_revision="previous")
    assert back.rc == 0 and "cache.redis.pool.maxTotal: 300 → 256 (live)" in back.stdout, back.stdout


@row("drift repaired")
@pytest.mark.hazard("H13")
def test_drift_is_repaired(platform: Platform) -> None:
    platform.drift()
    assert platform.drifted()
    repaired = platform.play("deploy")
    assert repaired.rc == 0 and repaired.changed > 0 and not platform.drifted(), repaired.stdout


@row("cache: configured, warmed, invalidated, exported, reported, fallback")
def test_playbooks_of_the_cache(platform: Platform, tmp_path: Path) -> None:
    """What the declared cache can do, by the same playbooks; on Kubernetes through the runner."""
    names = "configure warm invalidate report fallback export"
    wanted = {**CACHE, "caching_reports_directory": str(tmp_path / "reports"), "caching_export_path": str(tmp_path / "host_vars")}
    done = platform.play(names, **wanted)
    records = done.custom["exalt_caching_run"]
    assert done.rc == 0 and [one["playbook"] for one in records] == names.split(), done.stdout
    assert records[0]["changes"]["features"]["updated"] == ["write-through"]
    assert len(list((tmp_path / "reports").rglob("*.html"))) == 1
    (exported,) = (yaml.safe_load(path.read_text()) for path in (tmp_path / "host_vars").iterdir())
    assert exported["caching_strategies"]["deployed"] == "refresh-ahead" and exported["caching_settings"]["redis_pool"]["max_total"] == 90
    again = platform.play("configure fallback status", **{**CACHE, "caching_fallback_state": "normal"})
    assert again.rc == 0 and again.changed > 0, again.stdout
    assert [one["playbook"] for one in again.custom["exalt_caching_run"] if one["changes"]] == ["fallback"], again.stdout


def newer(platform: Platform) -> dict[str, t.Any]:
    """Variables of an update, with a change of the configuration."""
    return {**platform.store(), "caching_version": platform.newer, "caching_soak": "PT2S", "caching_batch": 2, "caching_update_backup_age": "",
            "caching_configuration": POOL}


@row("update in check mode")
def test_check_mode_of_an_update(platform: Platform) -> None:
    with platform.unchanged():
        check = platform.play("update", check=True, **newer(platform))
    assert check.rc == 0 and check.custom["exalt_caching_run"][0]["changes"]["service"]["updated"], check.stdout


@row("update in batches, rolled back")
@pytest.mark.operation("S079", "S080", "S081", "S082")
@pytest.mark.hazard("H27", "H28")
def test_an_update_and_its_way_back(platform: Platform) -> None:
    before = platform.members()
    done = platform.play("update", **newer(platform))
    assert done.rc == 0 and platform.versions() == {platform.newer}, done.stdout
    assert "cache.redis.pool.maxTotal: 256 → 300" in done.stdout and set(before.values()) & set(platform.members().values()) == redis(before)
    again = platform.play("update rollback", **newer(platform))
    first, back = again.custom["exalt_caching_run"]
    assert again.rc == 0 and not first["changes"] and back["changes"] and platform.versions() == {platform.older}, again.stdout
    assert "cache.redis.pool.maxTotal: 300 → 256" in again.stdout


@row("a broken version is taken back")
@pytest.mark.operation("S083")
@pytest.mark.hazard("H28")
def test_a_version_that_does_not_start_is_taken_back(platform: Platform) -> None:
    served = {identity for name, identity in platform.members().items() if "redis" not in name}
    wanted = {**platform.store(), "caching_soak": "PT0S", "caching_update_backup_age": "", "caching_platform_timeout": "PT40S"}
    failed = platform.play("update", **wanted, **platform.broken())
    told = " ".join(failed.stdout.split())
    assert failed.rc != 0 and "the update failed and was taken back" in told and "newer than this version" in told, failed.stdout
    assert platform.versions() == {platform.older} and platform.instances() == 3
    assert len(served & set(platform.members().values())) >= 2, "those that were not touched go on as they were"


@row("Redis: another primary, every node restarted, another version")
@pytest.mark.operation("S090", "S164")
@pytest.mark.hazard("H24", "H26")
def test_redis_restarts_node_by_node(platform: Platform) -> None:
    before = platform.members()
    platform.also.update(platform.newer_redis())
    done = platform.play("failover redis_restart", **platform.store(), caching_shard=0)
    moved, restarted = done.custom["exalt_caching_run"]
    assert done.rc == 0 and moved["changes"]["redis"]["primary"] and "and Redis is whole" in done.stdout, done.stdout
    assert restarted["changes"] and not redis(before) & redis(platform.members())


@row("Redis: memory")
@pytest.mark.operation("S096")
@pytest.mark.hazard("H30")
def test_memory_of_redis(platform: Platform) -> None:
    before = platform.members()
    refused = platform.play("redis_memory", caching_redis_maxmemory="10gb")
    assert refused.rc != 0 and "no node was changed" in refused.stdout and "raise its limit first" in refused.stdout, refused.stdout
    done = platform.play("redis_memory redis_memory", caching_redis_maxmemory="150mb")
    first, again = done.custom["exalt_caching_run"]
    assert done.rc == 0 and first["changes"] and not again["changes"] and platform.members() == before, done.stdout


@row("backup: taken, verified, drilled, pruned; configuration kept")
@pytest.mark.operation("S076", "S111", "S112", "S113")
def test_playbooks_of_the_backups(platform: Platform) -> None:
    names = "backup verify_backups drill prune_backups backup_config"
    identity = pyrage.x25519.Identity.generate()
    place = {**platform.store(), "caching_encrypt_to": [str(identity.to_public())], "caching_identities": [str(identity)]}
    wanted = {**place, "caching_redis_server_path": platform.redis_server, "caching_retention": {"keep_last": 5}}
    done = platform.play(names, **wanted)
    records = {one["playbook"]: one for one in done.custom["exalt_caching_run"]}
    assert done.rc == 0 and " ".join(records) == names and "RPO " in done.stdout and "RTO " in done.stdout, done.stdout
    (verified,) = [one for one in done.results("redis_backup_info") if one.get("not_done") is not None][-1:]
    assert verified["problems"] == [] and verified["not_done"] == {}, verified
    (first,) = records["backup_config"]["changes"]["configuration"]["kept"]
    back = platform.play("restore_config", check=True, caching_restore_id=first, **place)
    assert back.rc == 0, back.stdout


@row("backup, replay")
def test_a_backup_is_taken_and_replayed(platform: Platform) -> None:
    taken = platform.play("backup", **platform.store())
    assert taken.rc == 0, taken.stdout
    replayed = platform.play("restore_redis", **platform.store(), caching_restore_on_conflict="replace", caching_confirm=platform.name)
    assert replayed.rc == 0, replayed.stdout


@row("restore from files in place")
@pytest.mark.operation("S117", "S119", "S120", "S123")
@pytest.mark.hazard("H40", "H42", "H44")
def test_the_cluster_is_restored_from_files(platform: Platform) -> None:
    """After another primary, and back to the backup that was taken before it; then what it had lain aside is deleted."""
    taken = platform.play("backup", **platform.store())
    assert taken.rc == 0, taken.stdout
    moved = platform.play("failover", **platform.store(), caching_shard=1)
    assert moved.rc == 0, moved.stdout
    wanted = {**platform.store(), "caching_restore_mode": "file", "caching_confirm": platform.name, "caching_kpi_gate": "never"}
    with platform.unchanged():
        check = platform.play("restore_redis", check=True, **wanted)
    assert check.rc == 0 and check.custom["exalt_caching_run"][0]["changes"], check.stdout
    before = platform.members()
    done = platform.play("restore_redis", **wanted)
    told = " ".join(done.stdout.split())
    assert done.rc == 0 and " is recovered: " in told and "lies aside in the folders of the nodes" in told, done.stdout
    assert not redis(before) & redis(platform.members()), "every node has started anew"
    assert platform.instances() == 3 and platform.play("status").rc == 0
    dropped = platform.play("restore_redis", **wanted, caching_restore_drop_aside=True)
    assert dropped.rc == 0 and dropped.changed > 0, dropped.stdout


@row("the service recovered")
@pytest.mark.operation("S125", "S126", "S127", "S129", "S130", "S131")
@pytest.mark.hazard("H27", "H47", "H48")
def test_the_service_is_recovered(platform: Platform) -> None:
    """Configuration and secrets are as they were saved, nothing old is in a cache on disk, and every process is another one."""
    identity = pyrage.x25519.Identity.generate()
    place = {**platform.store(), "caching_encrypt_to": [str(identity.to_public())], "caching_identities": [str(identity)]}
    saved = platform.play("backup_config", **place)
    (kept,) = saved.custom["exalt_caching_run"][0]["changes"]["configuration"]["kept"]
    assert platform.play("configure", caching_configuration=POOL).rc == 0
    platform.spoil_secret()
    platform.fill_cache()
    before = platform.members()
    wanted = {**place, "caching_restore_id": kept, "caching_restore_sections": ["configmaps", "secrets"], "caching_kpi_window": 1}
    refused = platform.play("recover_service", **wanted)
    assert refused.rc != 0 and "caching_confirm: it stops every instance" in " ".join(refused.stdout.split()), refused.stdout
    # on Compose and hosts the spoiled file has a secret more than what is declared: that is removed only where it is said
    confirmed = {**wanted, "caching_confirm": platform.name, "caching_remove_secrets": True}
    with platform.unchanged():
        check = platform.play("recover_service", check=True, **confirmed)
    assert check.rc == 0 and check.custom["exalt_caching_run"][0]["changes"]["service"]["recovered"], check.stdout
    done = platform.play("recover_service", **confirmed)
    after = platform.members()
    assert done.rc == 0 and "is recovered: 3 instances are ready" in " ".join(done.stdout.split()), done.stdout
    assert set(before.values()) & set(after.values()) == redis(before) and platform.instances() == 3 and not platform.cached()
    assert not platform.spoiled()
    still = platform.play("configure", check=True)
    assert still.rc == 0 and still.changed == 0, still.stdout
    well = platform.play("recover_service", **platform.store())
    assert well.rc == 0 and well.changed == 0 and platform.members() == after, well.stdout


@row("member lost and healed")
def test_a_lost_member_is_healed(platform: Platform) -> None:
    before = platform.members()
    name = platform.lose_redis()
    until(lambda: platform.members().get(name, before[name]) != before[name], f"{name} did not come back", 60)
    healed = platform.play("deploy")
    assert healed.rc == 0, healed.stdout
    assert platform.play("status").rc == 0
