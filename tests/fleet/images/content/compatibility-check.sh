#!/bin/sh
# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Before an update: can this version work with the fleet as it is? Ends with 0 only if Redis answers and is a whole cluster.
set -eu
version=${CACHING_VERSION:-}
if [ "${EXALT_FAULT:-${version#*-}}" = incompatible ]; then
    echo "compatibility-check: this version needs Redis 8" >&2
    exit 1
fi
exec python3 - <<'PYTHON'
import os, sys
import redis
nodes = [node.rpartition(":") for node in os.environ["CACHING_REDIS_NODES"].split(",")]
try:
    seen = redis.Redis(nodes[0][0], int(nodes[0][2]), username=os.environ.get("REDIS_USERNAME") or None,
                       password=os.environ.get("REDIS_PASSWORD") or None, socket_timeout=5).execute_command("CLUSTER INFO")
except redis.RedisError as error:
    sys.exit(f"compatibility-check: Redis: {error}")
if str(seen.get("cluster_state")) != "ok":
    sys.exit(f"compatibility-check: cluster_state is {seen.get('cluster_state')}")
print("compatibility-check: ok")
PYTHON
