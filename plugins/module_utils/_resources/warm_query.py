# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What a raw query for a warm-up may be (H17): one SELECT and nothing else. A pure function.

It does not parse SQL, as every database reads it in another way: whatever could begin a second statement, hide one or write is
refused wherever it stands.
"""

from __future__ import annotations

import re

from .._errors import CachingError, one_line

_LONGEST = 10_000
_HIDING = {"--": "a comment", "/*": "a comment", "*/": "a comment", "\\": "a backslash", ";": "a semicolon, and so more than one statement"}
_DOLLAR = re.compile(r"\$\w*\$")
_BRACKET = re.compile(r"\[[^\]]*['\"]")
_QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`")
_WRITING = (
    "ALTER", "ANALYZE", "ATTACH", "BEGIN", "CALL", "COMMIT", "COPY", "CREATE", "DECLARE", "DELETE", "DETACH", "DO", "DROP", "EXEC", "EXECUTE", "GRANT",
    "HANDLER", "INSERT", "INTO", "KILL", "LOAD", "LOCK", "MERGE", "OUTFILE", "PRAGMA", "RENAME", "RESET", "REVOKE", "ROLLBACK", "SET", "SHUTDOWN",
    "TRUNCATE", "UPDATE", "UPSERT", "USE", "VACUUM", "WAITFOR",
)
_WORDS = re.compile(rf"(?<![A-Za-z_])(?<![A-Za-z_]\.)(?:{'|'.join(_WRITING)})(?!\w)", re.IGNORECASE)


def check(query: str, allowed: bool) -> str:
    """The query without a semicolon at its end, or a refusal that says what to do."""
    if not allowed:
        raise CachingError("query: raw SQL is sent only with allow_query: true; better name a data source that the service itself defines")
    text = query.strip()
    text = text[:-1].rstrip() if text.endswith(";") else text
    if not text or len(text) > _LONGEST:
        raise CachingError(f"query: it is {'empty' if not text else f'longer than {_LONGEST} characters'}")
    if any(ord(character) < 32 and character not in "\t\r\n" for character in text):
        raise CachingError("query: it holds control characters")
    why = next((what for sign, what in _HIDING.items() if sign in text), "")
    if not why and (_DOLLAR.search(text) or _BRACKET.search(text)):
        why = "a quote in dollars or brackets"
    if why:
        raise CachingError(f"query: it must be one SELECT; {why} can't stand in it, not even in quotes")
    bare = _QUOTED.sub("''", text)
    if bare.replace("''", "").count("'") or bare.count('"') or bare.count("`"):
        raise CachingError("query: it must be one SELECT; a quote in it does not end")
    if not re.match(r"SELECT\b", bare, re.IGNORECASE):
        raise CachingError(f"query: it must be one SELECT, but begins with {one_line(repr(text[:20]), 40)}")
    if found := _WORDS.search(bare):
        raise CachingError(f"query: it must be one SELECT that only reads; {found.group(0).upper()} can't stand in it (a column of that name needs quotes)")
    return text
