# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Set-up from the outside: quick when nothing changed, one clear line when it can't."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fleet import paths

SCRIPT = "tests/setup/setup.sh"


def run(root: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(root / SCRIPT)], env={**os.environ, **environment}, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=120, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A tree with nothing but what set-up reads."""
    shutil.copytree(paths.ROOT / "tests/setup", tmp_path / "tests/setup")
    shutil.copy(paths.ROOT / "tests/requirements.txt", tmp_path / "tests")
    return tmp_path


def test_nothing_to_do_takes_no_time() -> None:
    if run(paths.ROOT).returncode:
        pytest.fail("set-up of this tree failed")
    started = time.monotonic()
    again = run(paths.ROOT)
    assert again.returncode == 0 and again.stdout == "" and time.monotonic() - started < 0.2


def test_the_collection_is_found_as_installed() -> None:
    command = [str(Path(sys.executable).parent / "ansible-galaxy"), "collection", "list", "--format", "json"]
    listed = subprocess.run(command, cwd="/", capture_output=True, text=True, check=True).stdout
    for name in ("exalt.caching", "kubernetes.core", "ansible.posix", "community.general"):
        assert f'"{name}"' in listed


@pytest.mark.parametrize("python", ["", "false"])
def test_no_python(copy: Path, python: str) -> None:
    tools = copy / "bin"
    tools.mkdir()
    for tool in ("sh", "dirname", "cat", "cksum", "sort", "mkdir"):
        os.symlink(shutil.which(tool) or tool, tools / tool)
    ended = run(copy, PATH=str(tools), HOME=str(copy), PYTHON=python, EXALT_CACHING_CACHE=str(copy / "cache"))
    (line,) = ended.stderr.splitlines()
    assert ended.returncode == 1 and line.startswith("setup: no working Python 3.11 to 3.14")


def test_no_network(copy: Path) -> None:
    closed = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_NO_INDEX": "", "PIP_RETRIES": "0",
              "PIP_FIND_LINKS": "", "PIP_EXTRA_INDEX_URL": "", "PIP_CONFIG_FILE": os.devnull}
    ended = run(copy, PYTHON=sys.executable, EXALT_CACHING_CACHE=str(copy / "cache"), **closed)
    (line,) = ended.stderr.splitlines()
    assert ended.returncode == 1 and "the package index cannot be reached" in line
    assert not (copy / ".venv/.exalt-stamp").exists()
