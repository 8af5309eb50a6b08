"""``flops --top``: the rows that cost most, and the total of all."""

from __future__ import annotations

from collections.abc import Callable

import pytest


def test_the_largest_rows_and_the_total(benchbox: Callable) -> None:
    document = benchbox("flops", "lenet5", "--top", "2", "--json").document
    assert document["macs"] == 6_522_000
    macs = [layer["macs"] for layer in document["layers"]]
    whole = [layer["macs"] for layer in benchbox("flops", "lenet5", "--json").document["layers"]]
    assert macs == sorted(whole, reverse=True)[:2]
    assert "6.522 M" in benchbox("flops", "lenet5", "--top", "2").out


def test_the_lecture_has_its_own_variant(benchbox: Callable) -> None:
    assert "vgg16_lecture" in benchbox("flops", "vgg16", "--convention", "lecture").err
    assert "variant" not in benchbox("flops", "vgg16_lecture", "--convention", "lecture").err


@pytest.mark.parametrize("other", [("--by", "tree"), ("--reconcile",), ("--precision", "int8"), ("--top", "0")])
def test_what_has_no_largest_rows(other: tuple[str, ...], benchbox: Callable) -> None:
    ran = benchbox("flops", "lenet5", "--top", "2", *other)
    assert ran.status == 2
    assert "--top" in ran.err
