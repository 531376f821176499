#!/bin/sh
# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Runs in a mount namespace of its own.
#   start OPTION...   the engine, as the first process of a process namespace: with it every container and every mount ends
#   groups NAME       lists the control groups of that name
#   remove NAME       removes them
set -eu
# `ip netns exec` hides all of them, and others on this machine may have set up some that are mounted nowhere here: without these
# containerd measures nothing.
lacking() {
    grep -q '^[^ ]* /sys/fs/cgroup' /proc/mounts || return 0
    sed -n 's/^[1-9][0-9]*:\([^:]*\):.*/\1/p' /proc/self/cgroup | tr , '\n' | while read -r group; do
        grep -q "^cgroup /[^ ]* cgroup [^ ]*\b$group\b" /proc/mounts || echo "$group"
    done | grep -q .
}
if lacking; then
    if grep -q '^[1-9]' /proc/self/cgroup; then
        mount -t tmpfs none /sys/fs/cgroup
        mkdir /sys/fs/cgroup/unified
        mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified 2>/dev/null || rmdir /sys/fs/cgroup/unified
        sed -n 's/^[1-9][0-9]*:\([^:]*\):.*/\1/p' /proc/self/cgroup | while read -r group; do
            mkdir "/sys/fs/cgroup/${group#name=}"
            case $group in name=*) group=none,$group ;; esac
            mount -t cgroup -o "$group" cgroup "/sys/fs/cgroup/${group#none,name=}"
        done
    else
        mount -t cgroup2 cgroup2 /sys/fs/cgroup
    fi
fi
verb=$1
shift
case $verb in
    start)
        mkdir -p /run/containerd
        mount -t tmpfs -o mode=711 none /run/containerd
        exec dockerd "$@"
        ;;
    groups) find /sys/fs/cgroup -maxdepth 2 -type d -name "$1" ;;
    remove)
        for attempt in 1 2 3 4 5; do     # a process that has just ended may still stand in its group
            [ "$attempt" = 1 ] || sleep 0.2
            places=$(find /sys/fs/cgroup -maxdepth 2 -type d -name "$1")
            [ -n "$places" ] || break
            for place in $places; do
                find "$place" -depth -type d -exec rmdir {} \; 2>/dev/null || true
            done
        done
        ;;
esac
