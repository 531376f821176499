# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Python that is too old is told in one line, before anything else is done."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.exalt.caching.plugins.module_utils import _run


class Ended(Exception):
    pass


class Module:
    def __init__(self, **_options: t.Any) -> None:
        pass

    def fail_json(self, msg: str) -> t.NoReturn:
        raise Ended(msg)


def test_it_is_told_and_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[_run.Run] = []

    def work(run: _run.Run) -> _run.Results:
        done.append(run)
        return {}

    monkeypatch.setattr(_run, "AnsibleModule", Module)
    monkeypatch.setattr(_run, "OLDEST", (99, 0))
    with pytest.raises(Ended, match=r"^exalt.caching needs Python 3.11 or newer where its modules run, this is 3\.[0-9]+: set ansible_python_interpreter$"):
        _run.main(work, {})
    assert not done
