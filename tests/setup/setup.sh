#!/bin/sh
# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Makes .venv with the newest working Python; returns at once when nothing has changed. PYTHON=/path/to/python chooses.
set -eu
cd "$(dirname "$0")/../.."
root=$(pwd -P)
stamp=.venv/.exalt-stamp
wanted="$root $(cat tests/requirements.txt tests/setup/setup.sh tests/setup/venv.py | cksum) ${PYTHON:-}"
if [ -x .venv/bin/python ] && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
    exit 0
fi

probe='import sys, ssl, venv, ensurepip, ctypes, sqlite3, fcntl
if not (3, 11) <= sys.version_info[:2] <= (3, 14): sys.exit(1)
print("%d %d %d" % sys.version_info[:3], getattr(sys, "_base_executable", sys.executable))'
found=$(
    if [ -n "${PYTHON:-}" ]; then
        "$PYTHON" -c "$probe" 2>/dev/null || true
    else
        for python in python3.14 python3.13 python3.12 python3.11 python3 "${HOME:-}"/.pyenv/versions/*/bin/python; do
            "$python" -I -c "$probe" 2>/dev/null || true
        done | sort -s -k1,1nr -k2,2nr -k3,3nr
    fi
)
if [ -z "$found" ]; then
    echo "setup: no working Python 3.11 to 3.14 (with ssl, sqlite3 and ensurepip) on PATH or in ~/.pyenv/versions" >&2
    exit 1
fi

cache=${EXALT_CACHING_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/exalt-caching}
mkdir -p "$cache"
status=1
while read -r major minor patch python; do
    echo "setup: Python $major.$minor.$patch ($python)"
    status=0
    EXALT_CACHING_CACHE=$cache "$python" -I tests/setup/venv.py "$root" "$stamp" "$wanted" || status=$?
    [ "$status" -eq 3 ] || break    # 3: this Python makes no venv, so the next one is tried
done <<EOF
$found
EOF
exit "$status"
