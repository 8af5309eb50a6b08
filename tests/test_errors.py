"""What errors have in common."""

from __future__ import annotations

import pytest

from benchbox.errors import bug_from_error, one_line


@pytest.mark.parametrize(
    ("text", "expected"),
    [("two\n  lines", "two lines"), ("a" * 20, "a" * 20), ("a" * 21, "a" * 18 + " …"), ("", "")],
)
def test_a_text_that_is_cut_says_so(text: str, expected: str) -> None:
    assert one_line(text, 20) == expected


def test_a_long_bug_is_cut() -> None:
    assert bug_from_error(ValueError("a" * 500)).values.endswith("aa …")
    assert bug_from_error(ValueError()).values == "ValueError: no reason given"
