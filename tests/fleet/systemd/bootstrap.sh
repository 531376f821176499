#!/bin/sh
# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Makes the file system of a Debian host, in memory and in a mount namespace of its own, so that it leaves nothing but the archive.
#   bootstrap.sh FOLDER SUITE PACKAGES ARCHIVE
set -eu
folder=$1 suite=$2 packages=$3 archive=$4
mkdir -p "$folder/files" "$folder/downloads"
mount -t tmpfs -o size=1g none "$folder/files"
debootstrap --variant=minbase --cache-dir="$folder/downloads" --include="$packages" "$suite" "$folder/files"
rm -rf "$folder"/files/var/cache/apt/* "$folder"/files/var/lib/apt/lists/* "$folder"/files/usr/share/doc/* "$folder"/files/usr/share/man/* \
    "$folder"/files/usr/share/locale/* "$folder"/files/etc/ssh/ssh_host_* "$folder"/files/etc/machine-id
: >"$folder/files/etc/machine-id"
tar --create --numeric-owner --format=gnu --file "$archive" --directory "$folder/files" --exclude='./dev/*' --exclude='./proc/*' --exclude='./sys/*' .
