"""Which records does ``--where`` mean, and what is said of a value that no record has?"""

from __future__ import annotations

import dataclasses

import pytest
from sample_records import record, skipped

from benchbox.schema.model import Precision
from benchbox.store.selection import conditions_from_words, hints_for, matching


def test_values_of_one_key_are_alternatives_and_keys_all_hold() -> None:
    both = (("model", ("a", "b*")), ("batch", ("1",)))
    for words in (["model=a", "batch=1", "model=b*"], ["model=a,b*,batch=1"], ["model=a,b*", "batch=1"]):
        assert conditions_from_words(words) == both, words


def test_a_variant_may_have_commas_and_equals_signs() -> None:
    key = dataclasses.replace(record().key, variant="exclude=a,b calibration=x")
    of_variant = record(key=key)
    for word in ("variant=exclude=a,b calibration=x", "variant=exclude=a,b*", "variant=exclude=a,b*,batch=1"):
        assert matching(of_variant, conditions_from_words([word])), word
    assert not matching(of_variant, conditions_from_words(["variant=exclude=a"]))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["model=lenet6"], ["no record has model=lenet6: did you mean 'lenet5'?"]),
        (["precision=float32"], ["no record has precision=float32: did you mean 'fp32'?"]),
        (["precision=int8"], ["no record has precision=int8: there are bf16, fp32"]),
        (["batch=64"], ["no record has batch=64: there are 1, 2, 16"]),
        (["rate_per_s=5"], ["no record has rate_per_s=5: none has a value of rate_per_s"]),
        (["precision=bf16", "status=ok"], ["each of these fits some records, but no record fits all of them"]),
        (["precision=bf16,status=ok"], ["each of these fits some records, but no record fits all of them"]),
    ],
)
def test_hints(words: list[str], expected: list[str]) -> None:
    batches = [
        record(number, key=dataclasses.replace(record().key, batch=batch)) for number, batch in ((2, 16), (3, 2))
    ]
    stored = [record(0), skipped(1), *batches]
    assert not any(matching(each, conditions_from_words(words)) for each in stored)
    assert list(hints_for(words, stored)) == expected
    assert hints_for(words, []) == ()


def test_a_misspelt_alternative_is_named_beside_one_that_fits() -> None:
    stored = [record(0), skipped(1)]
    assert hints_for(["model=lenet5,lenet6"], stored, found=stored) == (
        "no record has model=lenet6: did you mean 'lenet5'?",
    )
    # What other records have is right, though it fits none of those that were found.
    words = ["precision=fp32,bf16", "status=ok"]
    assert hints_for(words, stored, found=stored[:1]) == ()
    assert record().key.precision is Precision.FP32
