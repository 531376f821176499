# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When status says that instances are missing, by what there are to be."""

from __future__ import annotations

import typing as t

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from tests.fleet.paths import ROOT

DECLARED = "{} of {} instances that are declared are ready"
OWN = "{} of {} instances that Deployment caching-service has are ready"


@pytest.mark.parametrize(("platform", "managed", "declared", "ready", "own", "scalers", "told"), [
    ("compose", True, 3, 2, "", [], [DECLARED.format(2, 3)]), ("compose", True, 2, 2, "", [], []), ("compose", False, 3, 2, "", [], []),
    ("systemd", True, 3, 2, "", [], [DECLARED.format(2, 3)]), ("systemd", True, 3, 4, "", [], []), ("supervisor", True, 3, 2, "", [], []),
    ("kubernetes", False, 3, 2, 2, [], []), ("kubernetes", False, 3, 2, 4, [], [OWN.format(2, 4)]),
    ("kubernetes", True, 4, 3, 3, [], [DECLARED.format(3, 4)]), ("kubernetes", True, 4, 3, 3, ["by-load"], []),
    ("kubernetes", True, 3, 3, 5, ["by-load"], [OWN.format(3, 5)]), ("kubernetes", False, 3, 0, 0, [], []),
])
def test_missing_instances_are_told(platform: str, managed: bool, declared: int, ready: int, own: t.Any, scalers: list[str], told: list[str]) -> None:
    text = (ROOT / "roles/deploy/vars/main.yml").read_text()
    known = {name: trust_as_template(value) if isinstance(value, str) else value for name, value in yaml.safe_load(text).items()}
    known |= {"caching_platform": platform, "caching_managed": managed, "caching_replicas": declared, "caching_deployment": "caching-service",
              "caching_members": [{"role": "service", "ready": True}] * ready + [{"role": "redis", "ready": True}],
              "caching_verb_spec_replicas": own, "caching_verb_scaled_by": scalers}
    assert Templar(loader=DataLoader(), variables=known).template(trust_as_template("{{ deploy_short }}")) == told
