# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that holds a lock and renews it, for tests that stop or kill it. Options come as JSON on the command line.

It prints `held TOKEN`, then `lost MESSAGE` and ends with 3 when the lock is somebody else's.
"""

from __future__ import annotations

import json
import sys
import time

from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from ansible_collections.exalt.caching.plugins.module_utils._resources.operation_lock import Held, Lock
from ansible_collections.exalt.caching.plugins.module_utils._store import open_store


def main() -> int:
    options = json.loads(sys.argv[1])
    store = open_store(options["store"])
    token = Lock(store, "trial", "topology").take(options["owner"], options["ttl"], 0).token
    held = Held(store, {"name": "trial", "scope": "topology", "token": token, "ttl": f"PT{options['ttl']}S"})
    print(f"held {token}", flush=True)
    while True:
        time.sleep(options["ttl"] / 4)
        try:
            held.keep()
        except CachingError as error:
            print(f"lost {error.message}", flush=True)
            return 3


if __name__ == "__main__":
    sys.exit(main())
