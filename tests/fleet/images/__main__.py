# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m tests.fleet.images`: make the images, and say where they are."""

from __future__ import annotations

import sys
import time

from tests.fleet.images.archive import ImageError
from tests.fleet.images.build import build


def main() -> int:
    started = time.monotonic()
    try:
        built = build()
    except (ImageError, OSError) as error:
        print(f"images: {error}", file=sys.stderr)
        return 1
    print(f"images: ready in {time.monotonic() - started:.1f} s")
    for path, names in zip(built.archives, built.names.values(), strict=True):
        print(f"  {path}  {path.stat().st_size / 1e6:.0f} MB")
        for name in names:
            print(f"    {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
