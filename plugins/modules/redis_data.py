#!/usr/bin/python
# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_data
short_description: The data files of nodes of Redis that are stopped, set aside, replaced, or back
description:
  - One step of a restore in place (role recovery, S117 to S123), on the host where the data of nodes lies. The steps before and after it
    stop and start the nodes; M(exalt.caching.redis_restore) with its O(exalt.caching.redis_restore#module:mode=file) puts the dumps there.
  - What a node had is renamed in its folder to C(<name>.before-<operation>), and never written to or deleted by anything but
    O(state=dropped). A mark beside it, written before the first rename, says what there was, so that a run that was killed anywhere is
    finished, or taken back, by the next one with the same O(operation).
  - A dump may be put beside its place while the node still runs, as C(<dbfilename>.staged-<operation>), so that nothing is fetched
    while it is down.
  - With C(appendonly) the dump becomes the BASE of an append-only file of several parts (Redis 7 and newer, Valkey), by a hard link
    where that is possible. Its folder is made beside its place and renamed as a whole. So the node loads the wanted data whatever starts
    it, without a start with C(appendonly no) in between.
  - A folder in which a process works is refused, as far as this user may see that (C(/proc)), before any is touched.
  - Hazards H40 to H45 of the operations guide.
version_added: 1.0.0
author:
  - Exalt Caching Contributors (@exalt)
options:
  folders:
    description: Data folders of nodes on the host where this module runs.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: The node's data folder (C(dir)).
        type: path
        required: true
      dbfilename:
        description: The node's C(dbfilename).
        type: str
        default: dump.rdb
      appendonly:
        description: Whether the node has an append-only file (C(appendonly)).
        type: bool
        default: false
      appenddirname:
        description: The node's C(appenddirname).
        type: str
        default: appendonlydir
      appendfilename:
        description: The node's C(appendfilename).
        type: str
        default: appendonly.aof
      sha256:
        description: Digest that the dump must have for O(state=placed); without one its digest is not looked at.
        type: str
        default: ''
      room:
        description: Bytes that must be free for O(state=aside); a dump that waits beside its place counts as free.
        type: int
        default: 0
  state:
    description:
      - V(aside) - the node has no data; what it had lies beside its place.
      - V(placed) - the dump that waits beside C(dbfilename), or else the one that is there, is what the node loads; V(aside) comes first.
      - V(back) - what lies aside is in its place again. Where nothing was set aside, only a dump that waits is removed.
      - V(dropped) - what lies aside is deleted. The node may run.
    type: str
    choices: [aside, placed, back, dropped]
    required: true
  operation:
    description: Name of the restore; letters, digits, C(_), C(.) and C(-).
    type: str
    required: true
extends_documentation_fragment:
  - exalt.caching.attributes
attributes:
  check_mode:
    description: Processes that work in a folder are only told then, in RV(folders).
    support: full
  idempotent:
    support: full
"""

EXAMPLES = r"""
- name: What the node had lies aside
  exalt.caching.redis_data:
    folders: [{path: /var/lib/redis, appendonly: true}]
    state: aside
    operation: 20261120T030000Z

- name: The dump of its slots
  exalt.caching.redis_restore:
    cluster: production-eu
    store_url: s3://exalt-cache-backups/production-eu
    mode: file
    slots: 0-5460
    path: /var/lib/redis/dump.rdb

- name: The node loads it, although it has an append-only file
  exalt.caching.redis_data:
    folders: [{path: /var/lib/redis, appendonly: true}]
    state: placed
    operation: 20261120T030000Z
"""

RETURN = r"""
folders:
  description: Each folder, in the order in which they were given.
  returned: success
  type: list
  elements: dict
  contains:
    path: {description: The folder., type: str}
    changed: {description: Whether something of it was changed., type: bool}
    aside: {description: 'What lies aside for this operation now: name, bytes.', type: list, elements: dict}
    staged: {description: Whether a dump of this operation waits beside its place., type: bool}
    busy: {description: Ids of processes that work in it; not looked for with O(state=dropped)., type: list, elements: int}
    free: {description: Bytes that are free in it., type: int}
"""

from ansible_collections.exalt.caching.plugins.module_utils._arguments import spec
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from ansible_collections.exalt.caching.plugins.module_utils._resources.data_files import Data, Names
from ansible_collections.exalt.caching.plugins.module_utils._run import apply
from ansible_collections.exalt.caching.plugins.module_utils._run import main as run_main


def work(run):
    params = run.params

    def data(one, look):
        names = Names(one["dbfilename"], one["appendonly"], one["appenddirname"], one["appendfilename"])
        return Data(one["path"], names, params["operation"], look)

    def step(look):
        changed, found = False, []
        for one, pids in zip(params["folders"], busy):
            if pids and not look:
                told = ", ".join(map(str, pids[:5]))
                raise CachingError(f"path: processes work in {one['path']} ({told}): the node has to be stopped; nothing was touched")
        for one, pids in zip(params["folders"], busy):
            place = data(one, look)
            acts = {"aside": lambda: place.set_aside(one["room"]), "placed": lambda: place.place(one["sha256"]), "back": place.back, "dropped": place.drop}
            try:
                acts[params["state"]]()
            except OSError as error:
                raise CachingError(f"path: {error.filename or one['path']}: {error.strerror}", changed=not look and (changed or place.changed)) from None
            except CachingError as error:
                raise CachingError(error.message, changed=not look and (changed or place.changed)) from None
            changed = changed or place.changed
            found.append({"path": one["path"], "changed": place.changed, "aside": place.aside(), "staged": place.staged() is not None, "busy": pids,
                          "free": place.free()})
        return {"changed": changed, "folders": found}

    busy = [[] if params["state"] == "dropped" else data(one, True).busy() for one in params["folders"]]
    planned = step(look=True)
    return apply(run, planned["changed"], planned, lambda: step(look=False), always=True)


def main():
    run_main(work, spec(
        folders={"type": "list", "elements": "dict", "required": True, "options": {
            "path": {"type": "path", "required": True},
            "dbfilename": {"type": "str", "default": "dump.rdb"},
            "appendonly": {"type": "bool", "default": False},
            "appenddirname": {"type": "str", "default": "appendonlydir"},
            "appendfilename": {"type": "str", "default": "appendonly.aof"},
            "sha256": {"type": "str", "default": ""},
            "room": {"type": "int", "default": 0},
        }},
        state={"type": "str", "required": True, "choices": ["aside", "placed", "back", "dropped"]},
        operation={"type": "str", "required": True},
    ))


if __name__ == "__main__":
    main()
