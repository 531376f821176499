# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: configuration_plan
short_description: What a declared configuration changes in an application.yml
description:
  - Merges the structure into the text, says for every key that differs whether a refresh applies it, and keeps the versions.
  - A text that does not have to change stays as it is. In one that does, comments are lost.
version_added: 1.0.0
author:
  - Exalt Caching Contributors (@exalt)
options:
  _input:
    description: What there is now, C(text), C(jvm) and C(revisions), all as text.
    type: dict
    required: true
  wanted:
    description: The structure to merge; null removes a key.
    type: dict
    default: {}
  jvm:
    description: Options of the virtual machine; they stay as they are where it is null.
    type: str
  live:
    description: Patterns of the keys that a refresh applies.
    type: list
    elements: str
    default: []
  keep:
    description: How many older revisions are kept.
    type: int
    default: 10
  revision:
    description:
      - Number of a revision, or V(previous), that is brought back instead.
      - Once the previous one is back, V(previous) changes nothing more.
    type: str
  now:
    description: The time of the change, ISO-8601 in UTC.
    type: str
"""

EXAMPLES = r"""
- name: What would change
  ansible.builtin.debug:
    msg: "{{ (present | exalt.caching.configuration_plan({'cache': {'redis': {'pool': {'maxTotal': 300}}}}, live=['cache.*'])).differences }}"
"""

RETURN = r"""
_value:
  description: C(changed), C(text), C(jvm), C(revisions), C(version), C(differences) (lines), C(live) and C(restart) (keys), C(compared) (live
    keys that every process has to tell as they are declared), C(comments_lost).
  type: dict
"""

import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.exalt.caching.plugins.module_utils import _configuration as pure
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError


def parsed(text, name="application.yml"):
    try:
        found = list(yaml.safe_load_all(text))
    except yaml.YAMLError as error:
        raise CachingError(f"{name} is no YAML: {' '.join(str(error).split())}") from error
    if len(found) > 1:
        raise CachingError(f"{name} has {len(found)} documents (profiles); only one can be merged: keep the others in files of their own")
    tree = found[0] if found else None
    if tree is not None and not isinstance(tree, dict):
        raise CachingError(f"{name} is no mapping")
    return tree or {}


def plain(value):
    """Without Ansible's own types, which YAML can't write."""
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value if value is None else str(value)


def configuration_plan(present, wanted=None, jvm=None, live=(), keep=10, revision="", now=""):
    try:
        return _plan(plain(present), plain(wanted or {}), jvm, list(live), int(keep), str(revision or ""), str(now))
    except CachingError as error:
        raise AnsibleFilterError(error.message) from None


def _plan(present, wanted, jvm, live, keep, revision, now):
    text, jvm_now = present["text"], present["jvm"]
    before = parsed(text)
    known = pure.read_revisions(present.get("revisions", ""))
    revisions = pure.noted(known, text, jvm_now)
    if revision:
        one = pure.chosen(revisions, revision)
        after_text, after_jvm, after = one.text, one.jvm, parsed(one.text, f"revision {one.version}")
    else:
        if not isinstance(wanted, dict):
            raise CachingError("caching_configuration: it must be a mapping, the structure of application.yml")
        after = pure.merged(pure.nested(before), pure.nested(wanted))
        after_jvm = jvm_now if jvm is None else str(jvm)
        same = not pure.differences(before, after)
        after_text = text if same else yaml.safe_dump(after, sort_keys=False, allow_unicode=True, width=120)
    found = pure.differences(before, after)
    lines = pure.told(found, live)
    if after_jvm != jvm_now:
        lines.append(f"{pure.JVM}: {pure.shown('', jvm_now or None)} → {pure.shown('', after_jvm or None)} (at the next start)")
    changed = after_text != text or after_jvm != jvm_now
    if changed:
        version = revisions[0].version + 1 if revisions else 1
        revisions = [pure.Revision(version, now, after_text, after_jvm, revision == "previous"), *revisions]
    declared = [*pure.flat(pure.nested(wanted))] if not revision else [*found, *_last_step(revisions)]
    return {
        "changed": changed, "text": after_text, "jvm": after_jvm, "differences": lines,
        "revisions": pure.written_revisions(revisions, keep) if changed else present.get("revisions", ""),
        "version": revisions[0].version if revisions else 0,
        "live": [key for key in found if pure.is_live(key, live)], "restart": [key for key in found if not pure.is_live(key, live)],
        "compared": [key for key in dict.fromkeys([*found, *declared]) if pure.is_live(key, live)],
        "comments_lost": changed and not revision and any(line.lstrip().startswith("#") for line in text.splitlines()),
    }


def _last_step(revisions):
    """Names of what the newest revision changed: where it was brought back, a rerun looks whether it is read, too."""
    return pure.differences(parsed(revisions[1].text), parsed(revisions[0].text)) if len(revisions) > 1 else {}


class FilterModule:
    def filters(self):
        return {"configuration_plan": configuration_plan}
