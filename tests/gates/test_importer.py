# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tarball: what is in it, and galaxy-importer's opinion, with the checks of certification on."""

from __future__ import annotations

import re
import sys
import tarfile
from pathlib import Path

import pytest

from tests.gates.conftest import Tools

SHIPPED = set(
    "CHANGELOG.rst CODE_OF_CONDUCT.md CONTRIBUTING.md COPYING FILES.json LICENSES MANIFEST.json README.md REUSE.toml "
    "changelogs docs extensions inventories meta playbooks plugins roles".split()
)


def test_the_tarball_holds_no_leftovers(tarball: Path) -> None:
    with tarfile.open(tarball) as archive:
        names = [member.name for member in archive.getmembers()]
    assert {name.split("/")[0] for name in names} <= SHIPPED
    assert not [name for name in names if re.search(r"__pycache__|\.pyc$|extensions/molecule|/\.[a-z]", name)]
    assert tarball.stat().st_size < 2_000_000


@pytest.mark.slow
def test_galaxy_importer_has_no_warnings(tools: Tools, tarball: Path) -> None:
    out = tools.run(
        sys.executable,
        "-m",
        "galaxy_importer.main",
        tarball,
        cwd=tools.artifacts,
        GALAXY_IMPORTER_CHECK_REQUIRED_TAGS="true",
        GALAXY_IMPORTER_RUN_ANSIBLE_LINT="false",    # test_lint.py does, with a stricter profile
        GALAXY_IMPORTER_REQUIRE_V1_OR_GREATER="true",
    )
    assert "Importer processing completed successfully" in out, out
    warnings = [line for line in out.splitlines() if re.match(r"(WARNING|ERROR|CRITICAL)\b", line)]
    assert not warnings, "\n".join(warnings)
