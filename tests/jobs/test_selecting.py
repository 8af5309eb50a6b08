"""Every command that takes conditions says which value fits no record, and what is nearest to it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from sample_records import record, trials

from benchbox.store.records import append


@pytest.fixture
def stored(tmp_path: Path) -> None:
    for number, model in enumerate(("resnet8", "lenet5", "vgg16")):
        append(tmp_path, record(number, key=dataclasses.replace(record().key, model=model)), trials())


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (("report", "--where"), 0),
        (("report", "--json", "--where"), 0),
        (("history", "--where"), 2),
        (("choose", "--where"), 2),
        (("choose", "--json", "--where"), 9),
        (("gate", "--where"), 2),
        (("compare", "model=lenet5"), 2),
    ],
)
def test_what_fits_nothing_gets_the_nearest(
    stored: None, benchbox: Callable, command: tuple[str, ...], status: int
) -> None:
    ran = benchbox(*command, "model=resnet81")
    assert ran.status == status
    said = ran.out + ran.err
    assert "none of 3 records match model=resnet81" in said
    assert "no record has model=resnet81: did you mean 'resnet8'?" in said
    assert "--json" not in command or ran.document, "the hint is no part of the document"


@pytest.mark.parametrize("where", [("model=resnet8,lenet5",), ("model=resnet8", "model=lenet5")])
def test_several_values_of_one_key_are_alternatives(stored: None, benchbox: Callable, where: tuple[str, ...]) -> None:
    ran = benchbox("report", "--json", *(word for each in where for word in ("--where", each)))
    assert [found["key"]["model"] for found in ran.document["records"]] == ["resnet8", "lenet5"]
    assert ran.err == ""


@pytest.mark.parametrize("command", [("report", "--json"), ("history", "--json"), ("choose", "--json"), ("gate",)])
def test_a_misspelt_alternative_is_a_warning(stored: None, benchbox: Callable, command: tuple[str, ...]) -> None:
    ran = benchbox(*command, "--where", "model=lenet5,resnet81")
    assert "warning: no record has model=resnet81: did you mean 'resnet8'?" in ran.err


def test_a_misspelt_alternative_of_compare(stored: None, benchbox: Callable) -> None:
    ran = benchbox("compare", "model=lenet5,resnet81", "model=vgg16,lenet5")
    assert (ran.status, "no record has model=resnet81" in ran.err) == (0, True)
