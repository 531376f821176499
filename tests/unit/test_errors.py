# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Error bodies of all kinds become one clear line."""

from __future__ import annotations

import json

import pytest
from ansible_collections.exalt.caching.plugins.module_utils._errors import describe_body, one_line
from hypothesis import given
from hypothesis import strategies as st

SPRING = {"timestamp": "2026-11-01T10:00:00Z", "status": 422, "error": "Unprocessable Entity", "message": "Validation failed", "path": "/x"}


@pytest.mark.parametrize(("body", "told"), [
    (b"", "no reason given"),
    (b"  \n ", "no reason given"),
    (json.dumps(SPRING).encode(), "Validation failed"),
    (json.dumps({**SPRING, "message": ""}).encode(), "Unprocessable Entity"),
    (json.dumps({**SPRING, "errors": [{"field": "maxSize", "defaultMessage": "must be positive"}]}).encode(),
     "Validation failed; maxSize: must be positive"),
    (json.dumps({"title": "Bad", "detail": "ttl is wrong"}).encode(), "ttl is wrong"),
    (b'{"errors": "just a text"}', "just a text"),
    (b"[1, 2]", "[1, 2]"),
    (b"plain\nwords\x1b[31m red\x1b[0m", "plain words red"),
    (b"<html><head><title>502 Bad\nGateway</title></head><body>nginx</body></html>", "an HTML page: 502 Bad Gateway"),
    (b'{"error": {"code": 5, "message": "deep"}}', "deep"), (b'{"message": "a\\u202eb\\u200b"}', "a b"),
    (b"\xff\xfe\xfa", "3 bytes that are not UTF-8"),
    (b"[" * 100000, "["),
])
def test_reason(body: bytes, told: str) -> None:
    assert describe_body(body, "text/html" if body.startswith(b"<") else "application/json").startswith(told)


def test_ten_megabytes_are_one_short_line() -> None:
    assert len(describe_body(b"x" * 10_000_000)) <= 300


@given(st.binary(max_size=2000), st.sampled_from(["", "text/html", "application/json"]))
def test_any_bytes(body: bytes, kind: str) -> None:
    told = describe_body(body, kind)
    assert told.isprintable() and 0 < len(told) <= 420 or not body.strip() or not told


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(
    st.sampled_from(["message", "errors", "error", "detail", "title", "field", "defaultMessage", "x"]), inner)))
def test_any_json(data: object) -> None:
    told = describe_body(json.dumps(data).encode())
    assert "\n" not in told and len(told) <= 300


@given(st.text())
def test_one_line_has_no_line_end(text: str) -> None:
    assert not set(one_line(text)) & set("\n\r\x1b\x00\u2028\x85")
