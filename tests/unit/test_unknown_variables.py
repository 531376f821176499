# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mistyped variables: which names are slips, which are names of their own, and that no name of this collection is either."""

from __future__ import annotations

import re
import typing as t

import pytest
import yaml
from ansible_collections.exalt.caching.plugins.filter import unknown_variables as plugin

from tests.fleet import paths

PUBLIC = re.findall(r"(?m)^(caching_\w+):", (paths.ROOT / "roles/caching/defaults/main.yml").read_text())


def internal() -> list[str]:
    """As the frame names them."""
    frame = yaml.safe_load((paths.ROOT / "roles/caching/tasks/operation.yml").read_text())
    (task,) = (task for task in frame[0]["block"] if "__caching_internal" in task.get("vars", {}))
    return list(task["vars"]["__caching_internal"])


@pytest.fixture
def warned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    told: list[str] = []
    monkeypatch.setattr(plugin, "Display", lambda: type("Display", (), {"warning": staticmethod(told.append)}))
    return told


@pytest.mark.parametrize(("name", "meant"), [
    ("caching_regoins", "caching_regions"), ("caching_region", "caching_regions"), ("caching_platfrom", "caching_platform"),
    ("caching_redis_node", "caching_redis_nodes"), ("caching_restore_key", "caching_restore_keys"), ("caching_sigining_key", "caching_signing_key"),
])
def test_a_slip_names_what_is_meant(name: str, meant: str, warned: list[str]) -> None:
    assert plugin.unknown_variables([name, *PUBLIC], PUBLIC) == [f"{name} is not a variable of exalt.caching; did you mean {meant}?"]
    assert warned == []


@pytest.mark.parametrize(("name", "told"), [
    ("caching_team", True), ("caching_max_percentage", True), ("caching_regions_europe", False), ("cache_regoins", False),
])
def test_a_name_of_its_own_is_no_error(name: str, told: bool, warned: list[str]) -> None:
    assert plugin.unknown_variables([name, *PUBLIC], PUBLIC) == []
    assert (len(warned) == 1 and f"{name} is not a variable of exalt.caching" in warned[0]) is told


def test_a_name_that_is_announced_is_no_slip(warned: list[str]) -> None:
    assert plugin.unknown_variables(["caching_scheduler"], PUBLIC) != [] and plugin.unknown_variables(["caching_scheduler"], PUBLIC + internal()) == []


def test_no_name_of_this_collection_is_unknown(warned: list[str]) -> None:
    """Facts, registered results and variables of tasks, and the inventories that come with it."""
    names: set[str] = set()

    def walk(content: t.Any) -> None:
        if isinstance(content, dict):
            names.update(str(key) for key in content if re.fullmatch(r"caching_\w+", str(key)))
            names.update(content.get(key) for key in ("register", "loop_var", "index_var") if isinstance(content.get(key), str))
        for one in content.values() if isinstance(content, dict) else content if isinstance(content, list) else ():
            walk(one)

    for path in [*paths.ROOT.glob("roles/*/tasks/**/*.yml"), *paths.ROOT.glob("playbooks/*.yml"), *paths.ROOT.glob("inventories/*/group_vars/**/*.yml")]:
        walk(yaml.safe_load(path.read_text()))
    mine = {name for name in names if name.startswith("caching_")}
    assert len(mine) > 30 and plugin.unknown_variables(mine, PUBLIC + internal()) == [] and warned == []
