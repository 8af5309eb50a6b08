"""Records as JSON: the contract's keys, nothing lost on the way back, damage told in full."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
from hypothesis import given, settings
from sample_records import any_record, record, skipped

from benchbox.errors import StoreError
from benchbox.schema.identity import identity_of
from benchbox.schema.model import Precision
from benchbox.schema.proof import OtherLayer, Proof
from benchbox.schema.record import BuildCost, Record
from benchbox.store.documents import document_from_record, headline_from_json, record_from_document


@settings(deadline=None)
@given(any_record)
def test_a_record_survives_the_way_through_json(original: Record) -> None:
    text = json.dumps(document_from_record(original), allow_nan=False)
    assert record_from_document(json.loads(text)) == original


@settings(deadline=None)
@given(any_record)
def test_a_headline_is_the_record_without_what_no_judgement_needs(original: Record) -> None:
    text = json.dumps(document_from_record(original), allow_nan=False).encode()
    found = headline_from_json(text, origin="x")
    left_out = ("correctness", "evidence", "sampling", "proof", "weights", "builds", "inputs")
    blank = Record(**{name: getattr(original, name) for name in vars(original) if name not in left_out})
    assert found == blank
    assert identity_of(found) == identity_of(original)
    # Another order of keys is read the slow way, to the same end.
    turned = dict(reversed(json.loads(text).items()))
    assert headline_from_json(json.dumps(turned).encode(), origin="x") == blank


def test_texts_that_look_like_the_documents_own_keys_are_texts() -> None:
    """Parts of a document are found by its keys, in quotes that no text has."""
    keys = '", "plan": {", "observed": {", "correctness": {", "onnx_sha256": "'
    first = record(reason=keys, started_at=keys)
    where = dataclasses.replace(
        first.environment, hardware={keys: keys, "observed": "{"}, observed={"correctness": "{", "onnx_sha256": keys}
    )
    original = dataclasses.replace(first, environment=where, key=dataclasses.replace(first.key, model=keys))
    found = headline_from_json(json.dumps(document_from_record(original)).encode(), origin="x")
    assert (found.reason, found.key, found.environment) == (keys, original.key, where)
    assert found.onnx_sha256 == original.onnx_sha256
    assert found.readings == original.readings


def test_records_of_one_environment_and_plan_share_them() -> None:
    one, two = (
        headline_from_json(json.dumps(document_from_record(entry)).encode(), origin="x")
        for entry in (record(0), record(1))
    )
    assert one.plan is two.plan
    assert one.environment.hardware is two.environment.hardware
    other = dataclasses.replace(record(2), plan=dataclasses.replace(record(2).plan, threads=7))
    assert headline_from_json(json.dumps(document_from_record(other)).encode(), origin="x").plan.threads == 7


def test_a_damaged_headline_is_told_in_full() -> None:
    document = document_from_record(record()) | {"status": "fine", "started_at": None}
    with pytest.raises(StoreError) as caught:
        headline_from_json(json.dumps(document).encode(), origin="x")
    assert "status" in caught.value.values
    assert "started_at" in caught.value.values


def test_the_document_has_the_contracts_keys() -> None:
    document = document_from_record(record())
    assert set(document) == {
        "schema",
        "id",
        "status",
        "reason",
        "key",
        "readings",
        "flags",
        "analytic",
        "correctness",
        "plan",
        "inputs",
        "environment",
        "evidence",
        "sampling",
        "proof",
        "onnx_sha256",
        "weights_sha256",
        "weights",
        "engine_sha256",
        "started_at",
    }
    assert document["schema"] == "benchbox.record/4"
    assert set(document["key"]) == {"model", "backend", "precision", "batch", "mode", "device"}
    assert set(document["readings"][0]) == {"metric", "unit", "value", "low", "high", "n", "better", "mde"}
    assert set(document["flags"][0]) == {"code", "severity", "message"}
    assert set(document["analytic"]) == {
        *("params", "macs", "flops", "weight_bytes", "peak_activation_bytes", "uncounted", "onnx_nodes", "least_bytes")
    }
    hop = document["correctness"]["hops"][0]
    assert {"from", "to", "max_abs_error", "rel_l2_error", "cosine"} <= set(hop)


def test_builds_are_there_where_something_was_built() -> None:
    made = (BuildCost(what="onnx", duration_s=2.5, peak_host_bytes=400_000_000),)
    document = document_from_record(record(builds=made))
    assert document["builds"] == [{"what": "onnx", "duration_s": 2.5, "peak_host_bytes": 400_000_000}]
    assert record_from_document(document).builds == made


def test_methods_and_concerns_are_there_where_they_say_something() -> None:
    (first, *rest), (flag,) = record().readings, record().flags
    told = record(
        readings=(dataclasses.replace(first, method="gpu_board by NVML"), *rest),
        flags=(dataclasses.replace(flag, metrics=("power_mean",)),),
    )
    document = document_from_record(told)
    assert document["readings"][0]["method"] == "gpu_board by NVML"
    assert "method" not in document["readings"][1]
    assert document["flags"][0]["metrics"] == ["power_mean"]
    assert record_from_document(document) == told


def test_infinite_errors_come_back_infinite() -> None:
    hop = dataclasses.replace(record().correctness.hops[0], rel_l2_error=math.inf, passed=False)
    broken = record(correctness=dataclasses.replace(record().correctness, hops=(hop,), passed=False))
    document = document_from_record(broken)
    assert document["correctness"]["hops"][0]["rel_l2_error"] is None
    assert record_from_document(document) == broken


def test_fields_of_later_versions_are_ignored() -> None:
    document = {**document_from_record(skipped()), "invented_later": 1}
    assert record_from_document(document) == skipped()


def test_a_newer_version_is_named() -> None:
    document = {**document_from_record(record()), "schema": "benchbox.record/99"}
    with pytest.raises(StoreError, match="newer benchbox"):
        record_from_document(document, origin="somewhere.parquet")


def test_all_damage_is_told_at_once() -> None:
    document = document_from_record(record())
    document["status"] = "fine"
    document["key"]["batch"] = "many"
    del document["started_at"]
    with pytest.raises(StoreError, match=r"somewhere\.parquet") as caught:
        record_from_document(document, origin="somewhere.parquet")
    assert all(word in str(caught.value) for word in ("status", "key.batch", "started_at"))


def test_a_proof_survives_the_round_trip() -> None:
    proof = Proof(
        asked=Precision.INT8,
        required=0.9,
        share=0.95,
        macs={"int8": 0.95, "unreported": 0.05},
        bytes={"int8": 0.5, "fp32": 0.25, "uncovered": 0.25},
        passed=None,
        layers=(OtherLayer(name="fc", type="unreported", macs=5),),
        tf32="forbidden",
    )
    document = json.loads(json.dumps(document_from_record(record(proof=proof))))
    assert record_from_document(document).proof == proof
    del document["proof"]
    assert record_from_document(document).proof is None, "older records have none"
