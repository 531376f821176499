# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The errors that a user sees, and how a foreign answer becomes one clear line."""

from __future__ import annotations

import json
import re
import typing as t

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^>]*>")
_TEXTS = ("message", "detail", "error_description", "title", "error", "reason", "msg")


class CachingError(Exception):
    """Something that the user has to know. ``results`` are returned by the module beside the message.

    ``may_have_acted``: whether the service may have done what was asked all the same.
    """

    may_have_acted = True

    def __init__(self, message: str, **results: t.Any) -> None:
        super().__init__(message)
        self.message = message
        self.results = results


class Unreachable(CachingError):
    """No complete answer came. ``sent`` is false where the request certainly did not reach the service.

    ``passing``: whether another attempt may help (a refused certificate stays refused). ``refused``: nobody listens there.
    """

    def __init__(self, message: str, sent: bool = True, passing: bool = True, refused: bool = False) -> None:
        super().__init__(message)
        self.sent = sent
        self.passing = passing
        self.refused = refused
        self.may_have_acted = sent


class ApiError(CachingError):
    """The service answered, but not with success. ``detail`` is the reason it gave, in one line."""

    def __init__(self, message: str, status: int, detail: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.detail = detail
        self.may_have_acted = status >= 500 or status in (408, 429)


def one_line(text: object, limit: int = 300) -> str:
    """``text`` without line ends, control characters and terminal escapes, cut at ``limit`` characters."""
    printable = "".join(letter if letter.isprintable() else " " for letter in _ESCAPES.sub(" ", str(text)[: limit * 20]))
    line = " ".join(printable.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def describe_body(body: bytes, content_type: str = "") -> str:
    """The reason in the body of an error answer: Spring's JSON, problem+json, an HTML page or plain text."""
    if not body.strip():
        return "no reason given"
    try:
        text = body[:65536].decode("utf-8", errors="strict" if len(body) <= 65536 else "replace")
    except UnicodeDecodeError:
        return f"{len(body)} bytes that are not UTF-8"
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        data = None
    if isinstance(data, dict):
        return _describe_json(data) or one_line(text)
    if "html" in content_type.lower() or text.lstrip()[:1] == "<":
        title = _TITLE.search(text)
        return "an HTML page: " + one_line(_TAG.sub(" ", title.group(1) if title else text), 120)
    return one_line(text)


def _describe_json(data: dict[str, t.Any]) -> str:
    if isinstance(inner := data.get("error"), dict):
        data = inner
    reason = next((one_line(data[name]) for name in _TEXTS if isinstance(data.get(name), str) and data[name].strip()), "")
    fields = data.get("errors") or data.get("violations") or data.get("fieldErrors") or []
    if not isinstance(fields, list):
        fields = [fields]
    told = [text for text in (_describe_field(field) for field in fields[:5]) if text]
    return one_line("; ".join(filter(None, [reason, *told])))


def _describe_field(field: t.Any) -> str:
    if isinstance(field, str):
        return one_line(field, 120)
    if not isinstance(field, dict):
        return ""
    name = field.get("field") or field.get("property") or field.get("pointer") or ""
    text = field.get("defaultMessage") or field.get("message") or field.get("detail") or field.get("code") or ""
    return one_line(": ".join(str(part) for part in (name, text) if part), 160)
