# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The OpenAPI description, and requests made from it: never a server error, never an answer that it does not name."""

from __future__ import annotations

from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance, response_schema_conformance, status_code_conformance,
)

from tests.contract.conftest import Api
from tests.contract.test_tokens_and_errors import ONE_WAY, ROUTES
from tests.fleet.service import openapi
from tests.harness.targets import Service

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
DOCUMENT = openapi.document(route for route in ROUTES if route.path not in ONE_WAY)
schema = schemathesis.openapi.from_dict(DOCUMENT)


def test_it_is_served_without_a_token(standing: Api) -> None:
    body: dict[str, Any] = standing.done("GET", openapi.PATH, token="")
    assert {(method.upper(), path) for path, item in body["paths"].items() for method in item} == {
        (route.method, route.path) for route in ROUTES}
    assert body["paths"]["/api/v1/cache/warm/{region}"]["post"]["security"] == [{"bearer": []}]


@pytest.fixture(scope="module")
def target(_services: Any) -> Service:
    found: Service = _services.get(())
    return found


@schema.parametrize()
@hypothesis.settings(
    max_examples=12, deadline=None, database=None, derandomize=True, phases=[hypothesis.Phase.generate],
    suppress_health_check=list(hypothesis.HealthCheck),
)
def test_requests_made_from_it(target: Service, case: Any) -> None:
    headers = {"Authorization": f"Bearer {target.tokens['admin']}"}
    case.call_and_validate(base_url=target.direct_url, headers=headers, checks=CHECKS, timeout=10)
