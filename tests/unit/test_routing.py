# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every module goes by an action of the collection (meta/runtime.yml), or by the one that has its name."""

import yaml

from tests.fleet.paths import ROOT


def test_no_module_is_left_out() -> None:
    modules, actions = ({path.stem for path in (ROOT / "plugins" / kind).glob("[a-z]*.py")} for kind in ("modules", "action"))
    routed = yaml.safe_load((ROOT / "meta/runtime.yml").read_text())["plugin_routing"]["modules"]
    assert set(routed) == modules - actions
    assert {one["action_plugin"].removeprefix("exalt.caching.") for one in routed.values()} == actions
