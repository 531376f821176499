# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Durations: what is one value, what is none."""

from __future__ import annotations

from decimal import Decimal

import pytest
from ansible_collections.exalt.caching.plugins.module_utils._duration import normal, parse, to_iso, within
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(("text", "seconds"), [
    ("PT2H", 7200), ("PT120M", 7200), (7200, 7200), ("7200", 7200), ("pt2h", 7200), ("P1D", 86400), ("P30D", 2592000),
    ("P2W", 1209600), ("PT0S", 0), (0, 0), ("P1DT1H1M1.5S", "90061.5"), (" PT5S ", 5), (0.25, "0.25"), ("PT0,5H", 1800),
])
def test_value(text: object, seconds: object) -> None:
    assert parse(text) == Decimal(str(seconds))


@pytest.mark.parametrize(("text", "shown"), [
    ("PT120M", "PT2H"), (7200, "PT2H"), ("P2D", "PT48H"), ("PT90S", "PT1M30S"), (0, "PT0S"), ("PT0.250S", "PT0.25S"), (3601, "PT1H1S"),
    ("PT20S", "PT20S"), (100, "PT1M40S"),
])
def test_one_text_for_one_value(text: object, shown: str) -> None:
    assert normal(text) == shown


@pytest.mark.parametrize("text", [
    "", "P", "PT", "P1DT", "2h", "PT2", "P1M", "P1Y", "P1Y2M", "-PT2H", "PT-2H", -1, True, None, "nan", "inf", "1e400", "PT2H ago",
    [], {}, "PT2H\n1", "٣", "PT٣S", "P1.2.3D", "9" * 70, "1e12", object(),
])
def test_refused_in_one_line_that_names_the_option(text: object) -> None:
    with pytest.raises(CachingError) as caught:
        parse(text, "max_age")
    assert caught.value.message.startswith("max_age: ")
    assert "\n" not in caught.value.message


def test_months_are_refused_with_the_reason() -> None:
    with pytest.raises(CachingError, match="months and years have no fixed length"):
        parse("P1M")


@pytest.mark.parametrize(("text", "seconds"), [(1, 1.0), ("PT1H", 3600.0), ("PT0S", None), (0, None), ("PT1H1S", None), ("soon", None)])
def test_a_limit_is_more_than_nothing(text: object, seconds: float | None) -> None:
    if seconds:
        assert within(text, "redis_timeout") == seconds
        return
    with pytest.raises(CachingError, match="^redis_timeout: .*(more than 0 and at most 3600 seconds|not a duration)"):
        within(text, "redis_timeout")


@given(st.decimals(min_value=0, max_value=10**11, places=9))
def test_there_and_back(seconds: Decimal) -> None:
    assert parse(to_iso(seconds)) == seconds


@given(st.one_of(st.text(), st.integers(), st.floats(), st.binary(), st.none(), st.booleans()))
def test_whatever_comes_is_a_value_or_a_clear_refusal(text: object) -> None:
    try:
        assert parse(text) >= 0
    except CachingError as error:
        assert "\n" not in error.message
