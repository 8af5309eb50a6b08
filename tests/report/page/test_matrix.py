"""Does the matrix have a place for every case, and say how near to the roof and how changed it is?"""

from __future__ import annotations

import dataclasses

from sample_material import case, material, points

from benchbox.report.material import Material, points_by_machine
from benchbox.report.page.matrix import Head, matrix_of
from benchbox.report.plots.roofs import shares_by_record
from benchbox.schema.model import Precision
from benchbox.schema.record import Status
from benchbox.schema.verdict import Outcome


def test_backends_precisions_and_batches_stand_over_their_columns() -> None:
    records = []
    for backend in ("onnxruntime", "openvino"):
        for precision in (Precision.INT8, Precision.FP32):
            for batch in (16, 1, 4):
                one = case(0, batch)
                key = dataclasses.replace(one.key, backend=backend, precision=precision)
                records.append(dataclasses.replace(one, id=f"{backend}{precision}{batch}", key=key))
    (found,) = points_by_machine(Material(title="", records=tuple(records))).values()
    matrix = matrix_of(found)
    backends, precisions, batches = matrix.heads
    assert backends == (Head(text="onnxruntime", span=6), Head(text="openvino", span=6))
    assert precisions == (Head(text="fp32", span=3), Head(text="int8", span=3)) * 2
    assert [head.text for head in batches] == ["batch 1", "batch 4", "batch 16"] * 4
    ((name, cells),) = matrix.rows
    assert name == "resnet18"
    assert all(cell is not None for cell in cells)
    assert "longer for a sample" in matrix.reading


def test_the_colour_is_what_is_missing_to_the_roof() -> None:
    shares = shares_by_record(points(), material())
    assert set(shares) == {point.record.id for point in points()}
    one = next(point for point in points() if point.record.id == "0-1")
    # 6e8 operations in 10 ms are 60 GFLOP/s; 100 FLOP/B are right of the ridge, where 100 GFLOP/s is the roof.
    assert shares["0-1"] == 2 * (one.macs or 0) / 0.01 / 1e11
    matrix = matrix_of(points(), shares)
    cells = [cell for _, row in matrix.rows for cell in row if cell is not None]
    assert {cell.case: cell.shade for cell in cells}[one.case] == round(1 - shares["0-1"], 2)
    assert "below the measured roof" in matrix.reading


def test_cells_say_in_words_what_the_gate_found() -> None:
    changes = {"0-1": Outcome.SLOWER, "0-4": Outcome.SAME, "1-1": Outcome.INCONCLUSIVE}
    matrix = matrix_of(points(), changes=changes)
    marks = {cell.case: (cell.mark, cell.sign) for _, row in matrix.rows for cell in row if cell is not None}
    assert marks["resnet18 null fp32 batch 1"] == ("slower", "✖ slower")
    assert marks["resnet18 null fp32 batch 4"] == ("", "")
    assert marks["vgg16 null fp32 batch 1"] == ("unsure", "? inconclusive")
    assert "outlined" in matrix.reading


def test_a_case_that_failed_says_so_in_its_place() -> None:
    broken = case(1, 4)
    failed = dataclasses.replace(broken, id="f", status=Status.FAILED, readings=(), reason="beyond tolerance")
    shown = [point for point in points() if point.record.id != broken.id]
    matrix = matrix_of(shown, failed=[failed, dataclasses.replace(case(0, 1), status=Status.FAILED)])
    rows = dict(matrix.rows)
    assert [cell and cell.value for cell in rows["vgg16"]] == ["20 ms", "failed"]
    assert [cell and cell.value for cell in rows["resnet18"]] == ["10 ms", "40 ms"]
