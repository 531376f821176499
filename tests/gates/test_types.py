# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""mypy --strict on module_utils."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.gates.conftest import Tools


def test_module_utils_are_typed(tools: Tools) -> None:
    tools.run("mypy", "--config-file", "pyproject.toml", "plugins/module_utils")


def test_a_planted_type_error_is_found(tools: Tools, tmp_path: Path) -> None:
    utils = tmp_path / "plugins" / "module_utils"
    utils.mkdir(parents=True)
    shutil.copy(tools.tree / "pyproject.toml", tmp_path)
    (utils / "_planted.py").write_text("def seconds(text):\n    return 1\n\n\nLATER: str = 1\n", encoding="utf-8")
    done = tools.attempt("mypy", "--config-file", "pyproject.toml", "plugins/module_utils", cwd=tmp_path)
    assert done.returncode == 1
    assert "[no-untyped-def]" in done.stdout and "[assignment]" in done.stdout
