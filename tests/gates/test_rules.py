# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules hold for this repository, pass a good tree, and find what is planted."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from tests.gates import rules
from tests.harness.operations import ROOT

GPL = "# Copyright (c) 2026, Exalt\n# SPDX-License-Identifier: GPL-3.0-or-later\n"
BSD = "# Copyright (c) 2026, Exalt\n# SPDX-License-Identifier: BSD-2-Clause\n"
UTILS = "plugins/module_utils/"
MODULE = "plugins/modules/cache_thing.py"
INFO = "plugins/modules/cache_thing_info.py"
DOCUMENTED = '''
DOCUMENTATION = """
module: {name}
attributes:
  platform: {{support: full}}
extends_documentation_fragment: [exalt.caching.attributes, exalt.caching.service]
"""

EXAMPLES = """
- exalt.caching.{name}:
"""

RETURN = """
things:
  type: list
  contains:
    name: {{type: str}}
"""

from ansible_collections.exalt.caching.plugins.module_utils._run import main
'''
GOOD = {
    UTILS + "_errors.py": BSD,
    UTILS + "_duration.py": BSD + "from ._errors import CachingError\n",
    UTILS + "_plan_restore.py": BSD + "from ._duration import parse\n",
    UTILS + "_http.py": BSD + "from ._errors import CachingError\nimport urllib3\n",
    UTILS + "_service.py": BSD + "from ._http import Http\nfrom . import _duration\n",
    UTILS + "_reconcile.py": BSD + "def reconcile(run):\n    return run.check_mode\n",
    UTILS + "_resources/regions.py": BSD + "from .._reconcile import reconcile\nfrom .._service import Service\n",
    UTILS + "_resources/info.py": BSD + "from .regions import Regions\n",
    UTILS + "_arguments.py": BSD + 'SERVICE: dict = {"service_url": {}}\nFRAGMENTS: dict = {"service": SERVICE}\n',
    UTILS + "_run.py": BSD + "from ._service import Service\n\ndef main(module):\n    return module.check_mode\n",
    "plugins/doc_fragments/service.py": GPL + 'class F:\n    DOCUMENTATION = """\noptions:\n  service_url: {}\n"""\n',
    "plugins/doc_fragments/attributes.py": GPL
    + 'class F:\n    DOCUMENTATION = """\nattributes:\n  check_mode: {support: full}\n'
    + '  diff_mode: {support: full}\n"""\n',
    MODULE: "#!/usr/bin/python\n" + GPL + DOCUMENTED.format(name="cache_thing"),
    INFO: "#!/usr/bin/python\n" + GPL + DOCUMENTED.format(name="cache_thing_info"),
    "meta/runtime.yml": "action_groups:\n  service: [cache_thing, cache_thing_info]\n",
    "playbooks/site.yml": "- hosts: all\n",
    "roles/caching/README.md": "the frame\n",
    "roles/caching/defaults/main.yml": "caching_regions: []\n__caching_seen: 1\n",
    "roles/caching/meta/main.yml": "galaxy_info: {description: the frame}\n",
    "roles/caching/tasks/compose/stop.yml": "- x: {}\n  register: __caching_seen_there\n",
    "roles/caching/meta/argument_specs.yml": "argument_specs: {main: {options: {caching_regions: {}, caching_name: "
    "{required: true}}}}\n",
    "roles/cache/README.md": "regions\n",
    "roles/cache/meta/main.yml": "galaxy_info: {description: regions}\ndependencies: [{role: exalt.caching.caching}]\n",
    "roles/cache/meta/argument_specs.yml": "argument_specs: {main: {options: {caching_regions: {}}}}\n",
    "roles/cache/tasks/main.yml": "- name: Regions\n  exalt.caching.cache_thing:\n",
    "tests/integration/test_thing.py": GPL + 'run_module("cache_thing")\nrun_module("cache_thing_info")\n',
}


class Plant(t.NamedTuple):
    """A violation: the rule that must find it, where it stands, the file's new content (None: none), the finding."""

    rule: rules.Rule
    path: str
    content: str | None
    finding: str


def changed(path: str, old: str, new: str) -> str:
    assert old in GOOD[path], f"{path} has no {old!r}"
    return GOOD[path].replace(old, new)


PLANTS = [
    Plant(
        rules.imports_go_downwards, UTILS + "_http.py", "from ._service import x\n", "imports _service, which is above"
    ),
    Plant(
        rules.imports_go_downwards, UTILS + "_http.py", "def f():\n    from . import _run\n", "imports _run, which is"
    ),
    Plant(
        rules.imports_go_downwards, UTILS + "_kpi.py", "from ._http import x\n", "_kpi imports _http, which is above"
    ),
    Plant(
        rules.imports_go_downwards, UTILS + "_new.py", "from ._redis import x\n", "_new imports _redis, which is above"
    ),
    Plant(
        rules.imports_go_downwards,
        UTILS + "_reconcile.py",
        f"from {rules.COLLECTION_UTILS}._resources.regions import Regions\n",
        "_reconcile imports _resources.regions, which is above it",
    ),
    Plant(
        rules.imports_go_downwards,
        UTILS + "_run.py",
        "import ansible_collections.exalt.caching.plugins.modules.cache_thing\n",
        "imports plugins.modules.cache_thing, which is above module_utils",
    ),
    Plant(
        rules.imports_go_downwards,
        UTILS + "_resources/regions.py",
        "from .info import x\n",
        "in a circle: _resources.info -> _resources.regions -> _resources.info",
    ),
    Plant(
        rules.check_mode_is_read_in_one_place, MODULE, "x = module.check_mode\n", "cache_thing.py:1 reads check mode"
    ),
    Plant(rules.check_mode_is_read_in_one_place, UTILS + "_http.py", "getattr(m, 'check_mode')\n", "_http.py:1 reads"),
    Plant(
        rules.check_mode_is_read_in_one_place, UTILS + "_resources/x.py", "if check_mode:\n    pass\n", "x.py:1 reads"
    ),
    Plant(rules.modules_are_documented, MODULE, changed(MODULE, "EXAMPLES", "X"), "cache_thing has no EXAMPLES"),
    Plant(rules.modules_are_documented, MODULE, changed(MODULE, "RETURN", "X"), "cache_thing has no RETURN"),
    Plant(
        rules.modules_are_documented, MODULE, changed(MODULE, "  platform", "  p"), "document the attribute platform"
    ),
    Plant(
        rules.modules_are_documented, MODULE, changed(MODULE, "exalt.caching.attributes, ", ""), "attribute check_mode"
    ),
    Plant(
        rules.modules_are_documented,
        INFO,
        changed(INFO, "  platform", "  check_mode: {support: none}\n  platform"),
        "cache_thing_info only reads",
    ),
    Plant(
        rules.modules_are_in_their_groups, "meta/runtime.yml", "action_groups: {}\n", "not in the action group service"
    ),
    Plant(
        rules.modules_are_in_their_groups,
        MODULE,
        changed(MODULE, ", exalt.caching.service", ""),
        "is in the action group service, but does not extend",
    ),
    Plant(
        rules.modules_are_in_their_groups,
        "meta/runtime.yml",
        changed("meta/runtime.yml", "[cache_thing,", "[cache_thing, gone,"),
        "names gone, which is no module",
    ),
    Plant(
        rules.modules_have_integration_tests,
        "tests/integration/test_thing.py",
        'run_module("cache_thing_info")\n',
        "cache_thing is used by no integration test",
    ),
    Plant(rules.returns_hide_no_dict_method, MODULE, changed(MODULE, "things:", "items:"), "returns items is the name"),
    Plant(
        rules.returns_hide_no_dict_method, MODULE, changed(MODULE, "    name:", "    keys:"), "returns things.keys is"
    ),
    Plant(rules.files_are_small, MODULE, GOOD[MODULE] + "x = 1\n" * 121, "lines of code besides its documentation"),
    Plant(rules.files_are_small, MODULE, GOOD[MODULE] + "# x\n" * 400, "at most 400"),
    Plant(rules.files_are_small, UTILS + "_http.py", "x = 1\n" * 351, "_http.py has 351 lines, at most 350"),
    Plant(rules.files_are_small, "roles/cache/tasks/main.yml", "# x\n" * 61, "has 61 lines, at most 60"),
    Plant(rules.files_are_small, "roles/cache/tasks/compose/stop.yml", "# x\n" * 101, "has 101 lines, at most 100"),
    Plant(rules.files_are_small, "playbooks/site.yml", "# x\n" * 91, "has 91 lines, at most 90"),
    Plant(
        rules.role_variables_are_declared,
        "roles/caching/defaults/main.yml",
        "caching_regions: []\ncaching_more: 1\n",
        "the default caching_more is in no argument spec",
    ),
    Plant(
        rules.role_variables_are_declared, "roles/caching/defaults/main.yml", "{}\n", "caching_regions has no default"
    ),
    Plant(
        rules.role_variables_are_declared,
        "roles/cache/meta/argument_specs.yml",
        "argument_specs: {main: {options: {caching_other: {}}}}\n",
        "role cache: the argument caching_other has no default",
    ),
    Plant(
        rules.role_variables_are_declared,
        "roles/cache/defaults/main.yml",
        "caching_own: 1\n",
        "role cache has the public variable caching_own",
    ),
    Plant(
        rules.role_variables_are_declared,
        "roles/caching/meta/argument_specs.yml",
        "argument_specs: {main: {options: {caching_regions: {}, other: {required: true}}}}\n",
        "other does not begin with caching_",
    ),
    Plant(
        rules.role_variables_are_declared, "roles/cache/meta/argument_specs.yml", None, "cache has no argument specs"
    ),
    Plant(
        rules.facts_spoil_no_variables,
        "roles/cache/tasks/main.yml",
        "- block:\n    - x: {}\n      register: __caching_x\n- y: {}\n  vars: {__caching_x: 1}\n",
        "roles/cache/tasks/main.yml: the variable __caching_x is made in roles/cache/tasks/main.yml, too, which",
    ),
    Plant(
        rules.facts_spoil_no_variables,
        "roles/cache/tasks/main.yml",
        "- ansible.builtin.set_fact: {a: 1}\n- y: {}\n  vars: {a: 1}\n",
        "the variable a is made in",
    ),
    Plant(
        rules.facts_spoil_no_variables,
        "roles/cache/tasks/main.yml",
        "- x: {}\n  loop: []\n  loop_control: {loop_var: a}\n- y: {}\n  vars: {a: 1}\n",
        "the variable a is made in",
    ),
    Plant(
        rules.facts_spoil_no_variables,
        "roles/cache/tasks/main.yml",
        "- x: {}\n  register: __caching_seen_there\n",
        "roles/cache/tasks/main.yml: __caching_seen_there is kept in roles/caching/tasks/compose/stop.yml, too",
    ),
    Plant(
        rules.what_is_included_gets_no_short_names,
        "roles/cache/tasks/main.yml",
        "- ansible.builtin.include_tasks: x.yml\n  vars: {wanted: 1, __caching_x: 2}\n",
        "roles/cache/tasks/main.yml: wanted holds in what is included, too",
    ),
    Plant(rules.roles_are_complete, "roles/cache/README.md", None, "role cache has no README.md"),
    Plant(rules.roles_are_complete, "roles/cache/meta/main.yml", "dependencies: []\n", "role cache has no description"),
    Plant(
        rules.roles_are_complete,
        "roles/cache/meta/main.yml",
        "galaxy_info: {description: x}\n",
        "does not name the role caching as dependency",
    ),
    Plant(
        rules.fragments_match_arguments,
        UTILS + "_arguments.py",
        'SERVICE = {"service_url": {}, "retries": {}}\nFRAGMENTS = {"service": SERVICE}\n',
        "service: retries is only in _arguments.py",
    ),
    Plant(rules.fragments_match_arguments, UTILS + "_arguments.py", "FRAGMENTS = {}\n", "service is only documented"),
    Plant(
        rules.fragments_match_arguments,
        UTILS + "_arguments.py",
        'SERVICE = {"service_url": {}}\nFRAGMENTS = {"service": SERVICE, "redis": {"service_url": {}}}\n',
        "service_url stands in the fragments redis, service",
    ),
    Plant(
        rules.fragments_match_arguments,
        "plugins/doc_fragments/service.py",
        changed("plugins/doc_fragments/service.py", "{}\n", "{}\n  timeout: {}\n"),
        "service: timeout is only documented",
    ),
    Plant(rules.nothing_private_is_published, "docs/x.md", "see " + "/ro" + "ot/.cache\n", "a path of one machine"),
    Plant(rules.nothing_private_is_published, "docs/x.md", "cd /ho" + "me/ann/src\n", "docs/x.md:1 holds a path"),
    Plant(rules.nothing_private_is_published, "a.key", "-----BEGIN EC PRIVATE" + " KEY-----\n", "holds a private key"),
    Plant(rules.nothing_private_is_published, "a.txt", "AKIA" + "ABCDEFGHIJKLMNOP\n", "holds an AWS access key"),
    Plant(rules.nothing_private_is_published, "a.txt", "ghp_" + "a" * 36 + "\n", "holds a GitHub token"),
    Plant(rules.nothing_private_is_published, "a.txt", "AGE-SECRET" + "-KEY-1" + "Q" * 58 + "\n", "an age identity"),
    Plant(rules.licences_are_named, MODULE, GOOD[MODULE].replace("GPL-3.0-or-later", "MIT"), "cache_thing.py does not"),
    Plant(rules.licences_are_named, UTILS + "_http.py", GPL + "import os\n", "SPDX-License-Identifier: BSD-2-Clause"),
    Plant(rules.licences_are_named, "tests/unit/test_x.py", "import os\n", "tests/unit/test_x.py does not begin"),
    Plant(rules.sanity_ignores_nothing, "tests/sanity/ignore-2.21.txt", "x pep8\n", "ignore-2.21.txt silences"),
]


def plant(root: Path, path: str, content: str | None) -> None:
    target = root / path
    if content is None:
        target.unlink()
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(content, encoding="utf-8")


@pytest.fixture
def good_tree(tmp_path: Path) -> Path:
    for path, content in GOOD.items():
        plant(tmp_path, path, content)
    return tmp_path


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
def test_rule_holds(rule: rules.Rule) -> None:
    findings = rule(ROOT)
    assert not findings, "\n".join(findings)


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
def test_rule_passes_a_good_tree(rule: rules.Rule, good_tree: Path) -> None:
    assert rule(good_tree) == []


@pytest.mark.parametrize("planted", PLANTS, ids=lambda planted: f"{planted.rule.__name__}-{planted.path}")
def test_rule_finds_what_is_planted(planted: Plant, good_tree: Path) -> None:
    plant(good_tree, planted.path, planted.content)
    findings = planted.rule(good_tree)
    assert any(planted.finding in finding for finding in findings), findings


def test_every_rule_has_a_plant() -> None:
    assert {planted.rule for planted in PLANTS} == set(rules.RULES)
