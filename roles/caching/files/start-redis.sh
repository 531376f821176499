# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=sh
# Starts a Redis or Valkey node of a cluster: redis.conf, then what the environment says. The password goes by a file, as a command
# line can be read by everybody.
set -eu
umask 077
data=${REDIS_DATA:-/var/lib/redis}
server=$(command -v valkey-server || command -v redis-server)
{
    echo "include /etc/redis/redis.conf"
    echo "dir $data"
    echo "cluster-announce-ip $POD_IP"
    if [ -n "${REDIS_HOSTNAME:-}" ]; then       # with TLS: clients verify names, as addresses change
        printf 'cluster-announce-hostname %s\ncluster-preferred-endpoint-type hostname\n' "$REDIS_HOSTNAME"
    fi
    if [ -n "${REDIS_PASSWORD:-}" ]; then
        escaped=$(printf '%s' "$REDIS_PASSWORD" | sed 's/[\\"]/\\&/g')
        printf 'requirepass "%s"\nmasterauth "%s"\nprotected-mode no\n' "$escaped" "$escaped"
    fi
} >/tmp/redis-server.conf
# A primary that comes back without its data within cluster-node-timeout would be a primary still, and its replicas would copy the
# emptiness. It waits until one of them has taken over. Where nothing is kept, a dump.rdb is what it once got as a replica.
said() { sed -n "s/^$1  *//p" /etc/redis/redis.conf | tail -n 1; }
named() { said "$1" | tr -d "\"'"; }
folder=$(named appenddirname) dump=$(named dbfilename)
if [ "$(said appendonly)" = yes ]; then kept=$data/${folder:-appendonlydir}; elif [ "$(said save)" = '""' ]; then kept=; else kept=$data/${dump:-dump.rdb}; fi
if grep -q 'myself,master.*connected [0-9]' "$data/nodes.conf" 2>/dev/null && { [ -z "$kept" ] || [ ! -e "$kept" ]; }; then
    timeout=$(said cluster-node-timeout)
    pause=$((${timeout:-15000} * 3 / 1000 + 5))
    echo "redis: this primary has lost its data; it waits $pause s, so that a replica takes over before it comes back" >&2
    sleep "$pause"
fi
exec "$server" /tmp/redis-server.conf
