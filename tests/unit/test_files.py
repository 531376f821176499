# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of a deployment: which differ, whose they are, and that no secret is shown."""

from __future__ import annotations

import pytest
from ansible_collections.exalt.caching.plugins.module_utils import _files as files

OURS = f"# {files.MARK}\n"


@pytest.mark.parametrize(("present", "text", "changed", "foreign"), [
    (None, OURS, True, False),                          # not there yet
    (OURS, OURS, False, False),
    ("a: 1\n", "a: 1\n", False, False),                 # somebody else's, and as declared
    ("a: 1\n", f"{OURS}a: 1\n", True, True),
    (f"{OURS}a: 1\n", f"{OURS}a: 2\n", True, False),
    (f"x\ny\nz\n{OURS}", OURS, True, True),             # a mark further down is no first line
    (f"{OURS}a", f"{OURS}a\n", True, False),
])
def test_what_differs_and_whose_it_is(present: str | None, text: str, changed: bool, foreign: bool) -> None:
    plan = files.plan([files.Wanted("f", text, False)], [present])
    assert (plan["changed"] == ["f"], plan["foreign"] == ["f"], plan["places"] == [0]) == (changed, foreign, changed)
    assert bool(plan["differences"]) is changed


@pytest.mark.parametrize(("line", "secret", "shown"), [
    ("API_TOKEN=abc", True, "API_TOKEN=(secret)"),
    ("PLAIN=abc", True, "PLAIN=(secret)"),
    ("abc", True, "(secret)"),
    ('requirepass "abc"', False, "requirepass (secret)"),
    ('masterauth "abc"', False, "masterauth (secret)"),
    ("      REDIS_PASSWORD: abc", False, "      REDIS_PASSWORD: (secret)"),
    ("      - REDIS_PASSWORD=abc", False, "      - REDIS_PASSWORD=(secret)"),
    ('Environment="DB_PASSWORD=abc"', False, 'Environment="DB_PASSWORD=(secret)'),
    ("    command: redis-server --requirepass abc", False, "    command: redis-server --requirepass (redacted)"),
    ('Environment="JDBC=jdbc:pg://u:abc@db/x"', False, 'Environment="JDBC=jdbc:pg://u:(redacted)@db/x"'),
    ("appendonly yes", False, "appendonly yes"),
])
def test_no_secret_is_shown(line: str, secret: bool, shown: str) -> None:
    assert files.shown(line, secret) == shown


def test_every_difference_is_told() -> None:
    """Whoever takes over files decides by them."""
    lines = files.plan([files.Wanted("f", "".join(f"{number}\n" for number in range(100)), False)], [""])["differences"]
    assert len(lines) == 100


@pytest.mark.parametrize(("present", "text", "secret", "lost"), [
    (f"{OURS}ADMIN_TOKEN=abc\nAPI_TOKEN=x\n", f"{OURS}API_TOKEN=y\n", True, ["f: ADMIN_TOKEN"]),
    (f"{OURS}ADMIN_TOKEN=abc\n", f"{OURS}ADMIN_TOKEN=\n", True, ["f: ADMIN_TOKEN"]),
    (f"{OURS}ADMIN_TOKEN=\n", OURS, True, []),
    (f"{OURS}requirepass \"abc\"\nport 1\n", f"{OURS}port 1\n", False, ["f: requirepass"]),
    (f"{OURS}requirepass \"abc\"\n", f"{OURS}requirepass \"xyz\"\n", False, []),
    ("ADMIN_TOKEN=abc\n", OURS, True, []),              # somebody else's: that is asked for by caching_adopt
])
def test_secrets_that_would_be_lost_are_named(present: str, text: str, secret: bool, lost: list[str]) -> None:
    assert files.plan([files.Wanted("f", text, secret)], [present])["lost"] == lost


@pytest.mark.hazard("H37")
@pytest.mark.parametrize(("text", "clear"), [
    ("spring:\n  data:\n    redis:\n      password: hunter2\n", True),
    ("spring:\n  data:\n    redis:\n      password: ${REDIS_PASSWORD}\n", False),
    ("services:\n  a:\n    environment:\n      API_TOKEN: ${API_TOKEN}\n", False),
    ("services:\n  a:\n    environment:\n      API_TOKEN: hunter2\n", True),
    ("Environment=\"JDBC=jdbc:postgresql://u:hunter2@db/x\"\n", True),
    ("masterauth hunter2\n", True),
    ("cache:\n  redis:\n    pool:\n      maxTotal: 64\n", False),
    ("[Service]\nEnvironmentFile=/etc/caching-service/secrets.env\nUser=redis\n", False),
])
def test_a_secret_in_clear_is_seen(text: str, clear: bool) -> None:
    assert files.in_clear(text) is clear


def test_what_would_stand_in_clear_is_left_out_of_a_backup() -> None:
    found = [{"name": name, "section": section, "text": text} for name, section, text in (
        ("unit", "workloads", "User=redis\n"), ("application.yml", "configmaps", "password: hunter2\n"), ("secrets.env", "secrets", "A=1\n"))]
    plain, closed = files.by_section(found, False), files.by_section(found, True)
    assert plain["left_out"] == ["application.yml", "secrets.env"] and plain["configmaps"] == {} == plain["secrets"]
    assert plain["workloads"] == {"items": [{"name": "unit", "text": "User=redis\n"}]}
    assert closed["left_out"] == [] and closed["secrets"]["items"] == [{"name": "secrets.env", "text": "A=1\n", "secret": True}]
