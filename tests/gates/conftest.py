# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy of the collection in the place where the tools want it, and a way to run them that touches nothing else."""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.fleet.paths import ROOT, cache
from tests.gates.rules import files

BIN = Path(sys.executable).parent
# What the tools leave behind in the copy, and what is worth keeping from one run to the next.
KEPT = {".git", ".ansible", ".mypy_cache", "output"}


class Tools:
    """Runs the gates' programs on the copy of the collection."""

    def __init__(self, tree: Path) -> None:
        self.tree = tree
        self.home = cache() / "gates"
        self.artifacts = cache() / "build" / "artifacts"
        self.artifacts.mkdir(parents=True, exist_ok=True)
        (self.home / "tmp").mkdir(parents=True, exist_ok=True)
        collections = f"{tree.parents[2]}:{sysconfig.get_paths()['purelib']}"
        left_out = ("ANSIBLE_", "PYTEST_", "GALAXY_", "MOLECULE_")
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(left_out)},
            "HOME": str(self.home),
            "XDG_CACHE_HOME": str(self.home / ".cache"),
            "TMPDIR": str(self.home / "tmp"),
            "ANSIBLE_HOME": str(self.home / ".ansible"),
            "ANSIBLE_COLLECTIONS_PATH": collections,
            "ANSIBLE_NOCOLOR": "1",
            "NO_COLOR": "1",
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def run(self, *command: str | Path, cwd: Path | None = None, timeout: float = 600, **environment: str) -> str:
        """Run a program that must succeed; gives all that it printed."""
        done = self.attempt(*command, cwd=cwd, timeout=timeout, **environment)
        assert done.returncode == 0, f"{Path(command[0]).name} ended with {done.returncode}\n{done.stdout}"
        return done.stdout

    def attempt(
        self, *command: str | Path, cwd: Path | None = None, timeout: float = 600, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(word) for word in command],
            cwd=cwd or self.tree,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )


def sync(source: Path, target: Path) -> None:
    """Make target hold what git would commit of source; unchanged files keep their times."""
    wanted = {path.relative_to(source) for path in files(source)}
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(target.rglob("*"), reverse=True):
        inside = path.relative_to(target)
        if KEPT & set(inside.parts):
            continue
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                path.rmdir()
        elif inside not in wanted:
            path.unlink()
    for inside in wanted:
        copy = target / inside
        if not copy.is_file() or not filecmp.cmp(source / inside, copy, shallow=False):
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / inside, copy, follow_symlinks=False)


@pytest.fixture(scope="session")
def tools() -> Tools:
    tree = cache() / "build" / "ansible_collections" / "exalt" / "caching"
    sync(ROOT, tree)
    if not (tree / ".git").exists():
        subprocess.run(["git", "init", "--quiet", str(tree)], check=True)
    return Tools(tree)


@pytest.fixture(scope="session")
def tarball(tools: Tools) -> Path:
    """The collection as `ansible-galaxy collection build` makes it."""
    for old in tools.artifacts.glob("*.tar.gz"):
        old.unlink()
    tools.run("ansible-galaxy", "collection", "build", "--force", "--output-path", tools.artifacts)
    return next(tools.artifacts.glob("exalt-caching-*.tar.gz"))
