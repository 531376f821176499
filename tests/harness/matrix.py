# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet on some platform, as the table of platform × operation sees it."""

from __future__ import annotations

import abc
import typing as t

from tests.harness.plays import Outcome


class Platform(abc.ABC):
    """What the table needs of a platform; what is common is the playbooks."""

    name: str

    @abc.abstractmethod
    def play(self, playbook: str, *arguments: str, check: bool = False, **variables: t.Any) -> Outcome:
        """A playbook on this fleet, with its declared state."""

    @abc.abstractmethod
    def members(self) -> dict[str, str]:
        """Names and identities; an identity is another one when its process is."""

    @abc.abstractmethod
    def instances(self) -> int:
        """How many instances of the service run."""

    @abc.abstractmethod
    def drift(self) -> None:
        """Somebody changes one thing by hand that the collection has written."""

    @abc.abstractmethod
    def drifted(self) -> bool:
        """Whether that is so."""

    @abc.abstractmethod
    def lose_redis(self) -> str:
        """A primary of Redis loses its process; its name."""

    def store(self) -> dict[str, t.Any]:
        """Variables of the store of backups, which the fleet's modules can reach."""
        return {"caching_store_url": "file:///tmp/exalt-caching-store", "caching_signing_key": "for the table of operations"}
