"""A machine's ceilings, measured for real in the smallest sizes, and what follows of them for layers and records."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from ceilings_made import ceilings, compute
from sample_records import record

from benchbox.cli import exit_status
from benchbox.errors import UsageError
from benchbox.jobs.ceilings import Wanted, measured_ceilings
from benchbox.jobs.known_ceilings import ceilings_here, flags_of_layers, flags_of_record, measured_device
from benchbox.measure.ceilings.effort import Effort
from benchbox.report.views.layers import render_layers
from benchbox.schema.device import Pace
from benchbox.schema.layers import ExecutedLayer, LayerRow, LayerTable
from benchbox.schema.model import Precision
from benchbox.schema.proof import Proof
from benchbox.schema.reading import Better, Reading
from benchbox.schema.record import Analytic
from benchbox.store.ceilings import append_ceilings

TINY = Effort(
    shapes=((48, 48, 48),), convolution=(64, 48, 32), processes=1, single=0, warmup_s=0.01, window_s=0.02,
    stream_s=0.01, budget_s=60.0, sweeps=False,
)  # fmt: skip


class _Silent:
    def say(self, text: str) -> None:
        """Nothing."""

    def step(self, done: float, total: float, text: str) -> None:
        assert 0 <= done <= total


@pytest.mark.nightly
def test_a_machine_is_measured_stored_and_used(tmp_path: Path) -> None:
    wanted = Wanted(
        libraries=("onnxruntime", "numpy"), precisions=(Precision.FP32, Precision.INT8, Precision.FP16), effort=TINY
    )
    (found,) = measured_ceilings(wanted, root=tmp_path, progress=_Silent())
    assert ceilings_here(tmp_path, "cpu") == found
    fp32 = found.peak("fp32")
    assert fp32 is not None
    assert {one.library for one in found.backends if one.precision == "fp32"} == {"onnxruntime", "numpy"}
    assert fp32.flops_per_s == max(one.flops_per_s for one in found.backends if one == fp32)
    assert found.peak("fp16") is None
    assert found.memory() is not None
    assert ("fp16", "onnxruntime") in {(one.precision, one.library) for one in found.none}
    device = measured_device(tmp_path, None)
    assert device is not None
    assert device.fp32_flops_per_s == fp32.flops_per_s

    fast = ExecutedLayer(name="x", kind="Conv", inputs=("fp32",), times_s=(1e-9,))
    rows = (LayerRow(name="conv", layer=fast, nodes=("conv",), macs=10**9, flops=2 * 10**9, moved_bytes=100),)
    table = LayerTable(
        model="net", backend="onnxruntime", precision="fp32", batch=1, threads=found.cpus, iterations=1, rows=rows,
        macs=10**9, flops=2 * 10**9, uncovered=(), uncovered_macs=0, latency_s=1.0, onnx_sha256="", ceilings=found,
    )  # fmt: skip
    (flag,) = flags_of_layers(table)
    assert flag.code == "ABOVE_CEILING"
    document = json.loads(render_layers(dataclasses.replace(table, flags=(flag,)), rows, form="json"))
    assert document["ridge_from"] == "ceilings"
    assert document["layers"][0]["attained"] > 1
    assert [each["code"] for each in document["flags"]] == ["ABOVE_CEILING"]


@pytest.mark.parametrize(("rate", "codes"), [(1.0, ["ABOVE_CEILING"]), (1e15, [])])
def test_a_record_above_the_ceiling_of_its_environment_is_marked(tmp_path: Path, rate: float, codes: list[str]) -> None:
    base = record()
    proof = Proof(asked=Precision.FP32, required=0.9, share=1.0, macs={"fp32": 1.0}, bytes={}, passed=True)
    reading = Reading(metric="achieved_flops", unit="1/s", value=1e9, low=None, high=None, n=1, better=Better.HIGHER)
    cost = Analytic(params=0, macs=500, flops=1000, weight_bytes=0, peak_activation_bytes=0)
    measured = dataclasses.replace(base, proof=proof, readings=(reading,), analytic=cost)
    here = base.environment
    roof = compute(rate, kind=Pace.BURST, precision=base.key.precision)
    append_ceilings(tmp_path, ceilings(roof, epoch=here.hash, environment=here, device=base.key.device))
    assert [flag.code for flag in flags_of_record(measured, root=tmp_path)] == codes
    assert flags_of_record(dataclasses.replace(measured, proof=None), root=tmp_path) == ()
    assert flags_of_record(measured, root=tmp_path / "elsewhere") == ()


def test_a_precision_that_nothing_computes_in_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing here computes in fp8"):
        measured_ceilings(
            Wanted(libraries=("numpy",), precisions=(Precision.FP8,), effort=TINY), root=tmp_path, progress=_Silent()
        )


@pytest.mark.parametrize(("arguments", "words"), [(["--backend", "nunpy"], "numpy"), (["--backend", "null"], "null")])
def test_a_backend_that_cannot_be_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert exit_status(["ceilings", *arguments, "--root", str(tmp_path)]) == 2
    assert words in capsys.readouterr().err
