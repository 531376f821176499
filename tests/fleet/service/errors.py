# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors as Spring Boot answers them: timestamp, status, error, message, path."""

from __future__ import annotations

from datetime import datetime, timezone
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse


class ApiError(Exception):
    """An answer other than success; `errors` are the fields that were refused."""

    def __init__(self, status: int, message: str, errors: list[dict[str, Any]] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = errors


class Unavailable(ApiError):
    def __init__(self, reason: str) -> None:
        super().__init__(503, f"Redis is unavailable: {reason}")


def not_found(region: str) -> ApiError:
    return ApiError(404, f"Cache region '{region}' does not exist")


class Problems:
    """Collects what is wrong with the fields of a request."""

    def __init__(self, name: str, status: int = 400) -> None:
        self.name = name
        self.status = status
        self.errors: list[dict[str, Any]] = []

    def add(self, field: str, message: str, value: object) -> None:
        self.errors.append({"field": field, "defaultMessage": message, "rejectedValue": value})

    def check(self) -> None:
        if self.errors:
            message = f"Validation failed for object='{self.name}'. Error count: {len(self.errors)}"
            raise ApiError(self.status, message, self.errors)


def timestamp() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def error_response(request: Request, error: ApiError, headers: dict[str, str] | None = None) -> JSONResponse:
    body: dict[str, Any] = {
        "timestamp": timestamp(),
        "status": error.status,
        "error": HTTPStatus(error.status).phrase,
        "message": error.message,
        "path": request.scope["path"],
    }
    if error.errors:
        body["errors"] = error.errors
    if error.status == 401:
        headers = {"WWW-Authenticate": "Bearer", **(headers or {})}
    return JSONResponse(body, status_code=error.status, headers=headers)
