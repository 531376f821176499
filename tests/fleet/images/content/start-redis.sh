#!/bin/sh
# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Starts a Redis or Valkey node of a cluster: /etc/redis/redis.conf, then what the environment says. The password goes by a file, as
# a command line can be read by everybody.
set -eu
umask 077
data=${REDIS_DATA:-/var/lib/redis}
conf=${REDIS_RUN:-/tmp}/redis-server.conf
server=$(command -v valkey-server || command -v redis-server)
{
    if [ -r /etc/redis/redis.conf ]; then
        echo "include /etc/redis/redis.conf"
    else
        echo "cluster-enabled yes"
        echo "appendonly yes"
    fi
    echo "dir $data"
    [ -z "${POD_IP:-}" ] || echo "cluster-announce-ip $POD_IP"
    [ -z "${REDIS_ANNOUNCE_HOSTNAME:-}" ] || echo "cluster-announce-hostname $REDIS_ANNOUNCE_HOSTNAME"
    if [ -n "${REDIS_PASSWORD:-}" ]; then
        echo "requirepass \"$REDIS_PASSWORD\""
        echo "masterauth \"$REDIS_PASSWORD\""
        echo "protected-mode no"
    fi
    case ${EXALT_FAULT:-} in
        wrong-answers) echo "cluster-enabled no" ;;
        slow) echo "enable-debug-command local" ;;
    esac
} >"$conf"
export REDISCLI_AUTH="${REDIS_PASSWORD:-}"
case ${EXALT_FAULT:-} in
    never-ready)
        echo "redis: waiting for a lock on $data" >&2
        exec sleep 1000000000
        ;;
    crash-loop)
        echo "redis: Fatal error, can't open config file '/etc/redis/overlay.conf': No such file or directory" >&2
        sleep 1
        exit 1
        ;;
    fails-later)    # it stops to answer, and does not end
        (sleep "${EXALT_FAULT_AFTER:-20}" && kill -STOP $$) &
        ;;
    slow)
        (while sleep 0.2; do redis-cli debug sleep 0.5 >/dev/null 2>&1 || true; done) &
        ;;
esac
exec "$server" "$conf" "$@"
