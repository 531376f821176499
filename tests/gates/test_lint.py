# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ansible-lint with the profile production: no finding, no warning."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.gates.conftest import Tools


@pytest.mark.slow
def test_ansible_lint_has_no_findings(tools: Tools) -> None:
    out = tools.run("ansible-lint", "--offline", "--strict", "--profile", "production")
    assert re.search(r"Passed: 0 failure\(s\), 0 warning\(s\) .*'production'", out), out


@pytest.mark.slow
def test_a_planted_task_is_found(tools: Tools, tmp_path: Path) -> None:
    shutil.copy(tools.tree / ".ansible-lint", tmp_path)
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "playbooks" / "planted.yml").write_text(
        "---\n- name: Planted\n  hosts: all\n  tasks:\n    - shell: ls\n", encoding="utf-8"
    )
    done = tools.attempt("ansible-lint", "--offline", "--strict", "--profile", "production", cwd=tmp_path)
    assert done.returncode != 0
    assert "name[missing]" in done.stdout and "command-instead-of-shell" in done.stdout
