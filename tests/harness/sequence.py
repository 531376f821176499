# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sequence that every writing module goes through: each step first in check mode, then for real, then both again."""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Mapping

from tests.harness.modules import ModuleResult, run_module
from tests.harness.targets import Service

Step = tuple[str, Mapping[str, t.Any], bool]


def accepted(result: ModuleResult) -> ModuleResult:
    """The result, where the module did not fail."""
    assert not result.get("failed") and not result.crashed, result.get("msg", result.stderr)
    return result


def walk(module: str, service: Service, steps: list[Step], before: Callable[[str], None] = lambda name: None) -> list[ModuleResult]:
    """Each step is (name, options, whether it changes something). Returns the results of the real first runs.

    For each: check mode writes nothing and predicts ``changed`` and ``diff`` of the real run; a second run, in check
    mode and for real, changes and writes nothing. ``before`` sets the stage of a step.
    """
    results = []
    for name, args, changes in steps:
        before(name)
        options = {**service.args, **args}
        service.proxy.clear()
        predicted = accepted(run_module(module, options, check=True))
        assert service.proxy.writes() == [], f"{name}: check mode wrote"
        real = accepted(run_module(module, options))
        assert predicted["changed"] is real["changed"] is changes, f"{name}: predicted {predicted['changed']}, was {real['changed']}"
        assert predicted["diff"] == real["diff"], name
        assert bool(service.proxy.writes()) is changes, name
        service.proxy.clear()
        for check in (True, False):
            again = accepted(run_module(module, options, check=check))
            assert again["changed"] is False and again["diff"] == {"before": {}, "after": {}}, f"{name}: the second run is not silent"
        assert service.proxy.writes() == [], f"{name}: the second run wrote"
        results.append(real)
    return results
