# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What deploy asks before it writes a redis.conf: whether nodes that run would read at their next start what they keep now."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest

from tests.harness.plays import Outcome, play
from tests.harness.scratch import Scratch

PLAY = {"hosts": "localhost", "gather_facts": False, "tasks": [
    {"name": "Kept", "ansible.builtin.include_role": {"name": "exalt.caching.caching", "tasks_from": "redis_kept"}}]}


@pytest.mark.long
@pytest.mark.hazard("H42")
def test_a_cluster_that_keeps_dumps_is_not_given_an_append_only_file(tmp_path: Path) -> None:
    steps = tmp_path / "kept.yml"
    steps.write_text(json.dumps([PLAY]))

    def kept(nodes: list[str], **variables: t.Any) -> Outcome:
        return play(str(steps), "localhost,", extra_vars={"caching_redis_nodes": nodes, "ansible_connection": "local", "caching_run_discovered": True,
                                                          **variables})

    with Scratch(tmp_path / "c", shards=3, replicas=0, options={"save": "3600 1"}) as cluster:
        nodes = [node.address for node in cluster.nodes]
        refused = kept(nodes)
        assert refused.rc != 0 and refused.changed == 0 and 'caching_redis_settings {appendonly: "no", save: "3600 1"}' in refused.stdout, refused.stdout
        assert all(node in refused.stdout for node in nodes)
        as_it_is = kept(nodes, caching_redis_settings={"appendonly": "no", "save": "3600 1"})
        assert as_it_is.rc == 0, as_it_is.stdout
        for node in cluster.nodes:
            cluster.client(node).config_set("appendonly", "yes")
        switched = kept(nodes)
        assert switched.rc == 0, switched.stdout
        for node in cluster.nodes:
            cluster.client(node).config_set("appendonly", "no")
            cluster.client(node).config_set("save", "")
        nothing = kept(nodes)
        assert nothing.rc == 0, "what keeps nothing loses nothing"
        cluster.kill(cluster.nodes[0])
        unknown = kept(nodes)
        assert unknown.rc == 0 and "could not be read: " in unknown.stdout and nodes[0] in unknown.stdout, unknown.stdout
