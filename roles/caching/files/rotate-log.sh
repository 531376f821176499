#!/bin/sh
# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# rotate-log.sh FILE: what is in a log goes into a compressed file beside it, and is then cut off its beginning, while its process goes on
# writing at its end. Nothing is lost in between, as it would be after a copy and a truncation; who kills it before the cut has lines twice.
# The last block stays.
set -eu
log=$1
block=$(stat -f -c %S "$log")
length=$(($(stat -c %s "$log") / block * block))
[ "$length" -gt 0 ] || exit 0
find "$(dirname "$log")" -maxdepth 1 -name "$(basename "$log")-*.gz.part" -mmin +60 -delete      # of a run that was killed
target=$log-$(date -u +%Y%m%dT%H%M%SZ).gz
[ ! -e "$target" ] || { echo "$target is there already" >&2; exit 1; }
trap 'rm -f "$target.part"' EXIT
(umask 027 && set -C && head -c "$length" "$log" | gzip -c >"$target.part")
[ "$(gzip -dc "$target.part" | wc -c)" -eq "$length" ]
chown --no-dereference --reference="$log" "$target.part"
sync "$target.part"
mv "$target.part" "$target"
if ! fallocate --collapse-range --offset 0 --length "$length" "$log"; then
    rm -f "$target"
    echo "the file system of $log can't cut a file's beginning off (ext4 and XFS can): let the service rotate its log itself" >&2
    exit 1
fi
echo "$target"
