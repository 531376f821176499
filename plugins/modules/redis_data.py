#!/usr/bin/python
# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_data
short_description: The data files of a node of Redis that is stopped, set aside, replaced, or back
description:
  - One step of a restore in place (role recovery, S117 to S123), on the host where the data of a node lies. The steps before and after it
    stop and start the node; M(exalt.caching.redis_restore) with its O(exalt.caching.redis_restore#module:mode=file) puts the dump there.
  - What the node had is renamed in its folder to C(<name>.before-<operation>), and never written to or deleted by anything but
    O(state=dropped). A mark beside it, written before the first rename, says what there was, so that a run that was killed anywhere is
    finished, or taken back, by the next one with the same O(operation).
  - With O(appendonly) the dump becomes the BASE of an append-only file of several parts (Redis 7 and newer, Valkey), by a hard link
    where that is possible. Its folder is made beside its place and renamed as a whole. So the node loads the wanted data whatever starts
    it, without a start with C(appendonly no) in between.
  - A folder in which a process works is refused, as far as this user may see that (C(/proc)).
  - Hazards H40 to H45 of the operations guide.
version_added: 1.0.0
author:
  - Exalt Caching Contributors (@exalt)
options:
  path:
    description: The node's data folder (C(dir)), where this module runs.
    type: path
    required: true
  state:
    description:
      - V(aside) - the node has no data; what it had lies beside its place.
      - V(placed) - the dump that is at C(dbfilename) is what the node loads; V(aside) comes first.
      - V(back) - what lies aside is in its place again. Where nothing was set aside, nothing is done.
      - V(dropped) - what lies aside is deleted. The node may run.
    type: str
    choices: [aside, placed, back, dropped]
    required: true
  operation:
    description: Name of the restore; letters, digits, C(_), C(.) and C(-).
    type: str
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
    description: Digest that the dump must have for O(state=placed).
    type: str
  room:
    description: Bytes that must be free for O(state=aside).
    type: int
    default: 0
extends_documentation_fragment:
  - exalt.caching.attributes
attributes:
  check_mode:
    description: Processes that work in the folder are only told then, in RV(busy).
    support: full
  idempotent:
    support: full
"""

EXAMPLES = r"""
- name: What the node had lies aside
  exalt.caching.redis_data:
    path: /var/lib/redis
    state: aside
    operation: 20261120T030000Z
    appendonly: true

- name: The dump of its slots
  exalt.caching.redis_restore:
    cluster: production-eu
    store_url: s3://exalt-cache-backups/production-eu
    mode: file
    slots: 0-5460
    path: /var/lib/redis/dump.rdb

- name: The node loads it, although it has an append-only file
  exalt.caching.redis_data:
    path: /var/lib/redis
    state: placed
    operation: 20261120T030000Z
    appendonly: true
"""

RETURN = r"""
aside:
  description: What lies aside for this operation now, with its name and bytes.
  returned: success
  type: list
  elements: dict
  sample: [{name: appendonlydir.before-20261120T030000Z, bytes: 4711}]
busy:
  description: Ids of processes that work in the folder; not looked for with O(state=dropped).
  returned: success
  type: list
  elements: int
free:
  description: Bytes that are free in the folder.
  returned: success
  type: int
"""

from ansible_collections.exalt.caching.plugins.module_utils._arguments import spec
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from ansible_collections.exalt.caching.plugins.module_utils._resources.data_files import Data, Names
from ansible_collections.exalt.caching.plugins.module_utils._run import apply
from ansible_collections.exalt.caching.plugins.module_utils._run import main as run_main


def work(run):
    params = run.params
    names = Names(params["dbfilename"], params["appendonly"], params["appenddirname"], params["appendfilename"])

    def step(look):
        data = Data(params["path"], names, params["operation"], look)
        acts = {"aside": lambda: data.set_aside(params["room"]), "placed": lambda: data.place(params["sha256"]), "back": data.back, "dropped": data.drop}
        busy = [] if params["state"] == "dropped" else data.busy()
        if busy and not look:
            told = ", ".join(map(str, busy[:5]))
            raise CachingError(f"path: processes work in {params['path']} ({told}): the node has to be stopped; nothing was touched")
        try:
            acts[params["state"]]()
        except OSError as error:
            raise CachingError(f"path: {error.filename or params['path']}: {error.strerror}", changed=data.changed) from None
        return {"changed": data.changed, "aside": data.aside(), "busy": busy, "free": data.free()}

    planned = step(look=True)
    return apply(run, planned["changed"], planned, lambda: step(look=False), always=True)


def main():
    run_main(work, spec(
        path={"type": "path", "required": True},
        state={"type": "str", "required": True, "choices": ["aside", "placed", "back", "dropped"]},
        operation={"type": "str", "required": True},
        dbfilename={"type": "str", "default": "dump.rdb"},
        appendonly={"type": "bool", "default": False},
        appenddirname={"type": "str", "default": "appendonlydir"},
        appendfilename={"type": "str", "default": "appendonly.aof"},
        sha256={"type": "str"},
        room={"type": "int", "default": 0},
    ))


if __name__ == "__main__":
    main()
