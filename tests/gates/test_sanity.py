# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ansible-test sanity: all of its tests, nothing ignored, without a container."""

from __future__ import annotations

import re
import sys
import sysconfig
from pathlib import Path

import pytest
from ansible import release
from packaging import version

from tests.gates.conftest import Tools

# What ansible-core 2.21 has; older ones may have less, none of what they have may be left out.
AT_LEAST = 24
# ansible-test fetches this script from a host of its own; what it does is in Python already.
GET_PIP = """\
import subprocess
import sys

subprocess.run([sys.executable, "-m", "ensurepip", "--default-pip"], check=True)
packages = [word for word in sys.argv[1:] if word not in ("--no-setuptools", "--no-wheel")]
sys.exit(subprocess.run([sys.executable, "-m", "pip", "install", "--upgrade", *packages]).returncode)
"""


def get_pip_names() -> list[str]:
    """The names under which this ansible-test looks for the script that brings pip."""
    source = Path(sysconfig.get_paths()["purelib"], "ansible_test", "_internal", "python_requirements.py")
    versions = re.findall(r"\bpip='([\d.]+)'", source.read_text(encoding="utf-8"))
    assert versions, "ansible-test names no version of pip"
    return [f"get_pip_{version.replace('.', '_')}.py" for version in versions]


@pytest.mark.slow
def test_sanity_passes_in_full(tools: Tools) -> None:
    folder = tools.home / ".ansible" / "test" / "cache"
    folder.mkdir(parents=True, exist_ok=True)
    for name in get_pip_names():
        (folder / name).write_text(GET_PIP, encoding="utf-8")
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    listed = tools.attempt("ansible-test", "sanity", "--list-tests", "--color", "no").stdout
    tests = {line for line in listed.splitlines() if re.fullmatch(r"[a-z0-9-]+", line)}
    assert len(tests) >= AT_LEAST or version.parse(release.__version__) < version.parse("2.21"), listed
    out = tools.run("ansible-test", "sanity", "--venv", "--python", python, "--color", "no", timeout=900)
    ran = set(re.findall(r"^Running sanity test \"([\w-]+)\"", out, re.M))
    skipped = re.findall(r"^WARNING: (?:Skipping sanity test|Required program) .*$", out, re.M)
    assert ran >= tests and not skipped, f"did not run: {sorted(tests - ran)}\n" + "\n".join(skipped)
