#!/bin/sh
# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# After an update: one entry is written, read back and removed through $CACHING_SERVICE_URL, and the health is UP.
set -eu
version=${CACHING_VERSION:-}
if [ "${EXALT_FAULT:-${version#*-}}" = bad-smoke ]; then
    echo "smoke-test: the entry that was written is not the one that was read" >&2
    exit 1
fi
exec python3 - <<'PYTHON'
import json, os, sys, urllib.error, urllib.request
base = os.environ.get("CACHING_SERVICE_URL", "http://127.0.0.1:8403").rstrip("/")
token = os.environ["API_TOKEN"]
def call(method, path, body=None):
    request = urllib.request.Request(base + path, method=method, data=None if body is None else json.dumps(body).encode(),
                                     headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        text = answer.read()
    return json.loads(text) if text else {}
try:
    if call("GET", "/actuator/health").get("status") != "UP":
        sys.exit("smoke-test: the service is not UP")
    regions = call("GET", "/api/v1/cache/regions")
    if regions:
        path = f"/api/v1/cache/regions/{regions[0]['name']}/keys/smoke-test:{os.getpid()}"
        call("PUT", path, {"value": "smoke", "ttl": "PT1M"})
        found = call("GET", path)
        call("DELETE", path)
        if found.get("value") != "smoke":
            sys.exit(f"smoke-test: wrote 'smoke', read {found.get('value')!r}")
except (OSError, ValueError, KeyError, urllib.error.URLError) as error:
    sys.exit(f"smoke-test: {base}: {error}")
print("smoke-test: ok")
PYTHON
