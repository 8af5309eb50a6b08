"""What a page can be made of, by hand: three networks in two batches, and everything beside their records."""

from __future__ import annotations

import dataclasses

from sample_records import ENVIRONMENT, EVIDENCE, record

from benchbox.report.material import Accuracy, Material, Point, points_by_machine
from benchbox.schema.accuracy import AccuracyResult, Share
from benchbox.schema.device import BandwidthCeiling, Ceilings, ComputeCeiling, Level, Pace
from benchbox.schema.layers import ExecutedLayer, LayerRow, LayerTable, StoredLayers
from benchbox.schema.model import ModelSpec, Precision
from benchbox.schema.reading import Better, Reading
from benchbox.schema.record import Analytic, Record
from benchbox.schema.verdict import ChangeState, HistoryPoint, LevelChange, Series

NAMES = ("resnet18", "vgg16", "squeezenet1_1")


def reading(metric: str, unit: str, value: float) -> Reading:
    return Reading(metric=metric, unit=unit, value=value, low=0.95 * value, high=1.05 * value, n=5, better=Better.LOWER)


def case(number: int, batch: int) -> Record:
    base = record(number)
    key = dataclasses.replace(base.key, model=NAMES[number], batch=batch, precision=Precision.FP32)
    cost = Analytic(
        params=10**6 * (number + 1), macs=10**8 * (3 - number) * batch, flops=1, weight_bytes=10**6,
        peak_activation_bytes=batch * 10**5, least_bytes=10**6 * (5 + batch),
    )  # fmt: skip
    readings = (
        reading("latency_p50", "s", 0.01 * (number + 1) * batch),
        reading("energy_per_sample", "J", 0.5 * (number + 1) / batch),
        reading("power_mean", "W", 20.0 + batch),
        reading("peak_host_memory", "bytes", 2.0**26 * (number + batch)),
    )
    return dataclasses.replace(
        base, id=f"{number}-{batch}", key=key, analytic=cost, readings=readings, flags=(), proof=None
    )


def runs() -> Series:
    """Four runs of a case, the last of them its stored record; level and environment changed after the second."""
    points = tuple(
        HistoryPoint(at=f"2026-01-0{day}T03:00:00+00:00", commit=f"c{day}", value=0.01 * factor, low=0.009 * factor,
                     high=0.011 * factor, n=5, env="e", record="0-1" if day == 4 else f"old{day}", network="ab",
                     night=f"2026-01-0{day}")
        for day, factor in ((1, 1.0), (2, 1.0), (3, 1.5), (4, 1.5))
    )  # fmt: skip
    change = LevelChange(
        index=2, ratio=1.5, low=1.4, high=1.6, better=False, commits=("c2", "c3"), environment={}, state=ChangeState.NEW
    )
    return Series(
        case={}, metric="latency_p50", unit="s", better=Better.LOWER, points=points, changes=(change,),
        epochs={2: {"torch": ("1", "2")}},
    )  # fmt: skip


def ceilings() -> Ceilings:
    """Two precisions on one thread and all, with a data sheet for one of them."""
    compute = [
        ComputeCeiling(precision=precision, kind=pace, threads=threads, flops_per_s=rate, low=0.9 * rate,
                       high=1.05 * rate, library="numpy", shape=(8, 8, 8), n=5)
        for precision, rate in ((Precision.FP32, 1e11), (Precision.INT8, 3e11))
        for pace in Pace
        for threads in (1, 4)
    ]  # fmt: skip
    memory = [
        BandwidthCeiling(level=level, threads=1, bytes_per_s=rate, low=0.9 * rate, high=1.1 * rate, library="numpy",
                         kernel="copy", bytes=9, n=5)
        for level, rate in ((Level.L2, 5e10), (Level.DRAM, 5e9))
    ]  # fmt: skip
    return Ceilings(
        id="20260101T000000Z-00000000", started_at="2026-01-01T00:00:00+00:00", device="virtual", title="none",
        epoch=ENVIRONMENT.hash, environment=ENVIRONMENT, cpus=4, compute=tuple(compute), bandwidth=tuple(memory),
        theoretical={"fp32": 1.5e11},
    )  # fmt: skip


def table(precision: str) -> StoredLayers:
    """A network of a convolution, a cast, a product, and what no node asked for; int8 takes half the time."""
    scale = 0.5 if precision == "int8" else 1.0
    rows = tuple(
        LayerRow(
            name=name, nodes=nodes, macs=macs, flops=2 * macs, moved_bytes=moved,
            layer=ExecutedLayer(name=name, kind=kind, inputs=(precision,), moves=moves, times_s=(scale * time,) * 2),
        )
        for name, kind, nodes, macs, moved, moves, time in (
            ("features.0", "Convolution", ("a",), 10**7, 10**6, False, 6e-4),
            ("reorder", "Reorder", (), 0, 0, True, 1e-4),
            ("pool", "MaxPool", ("b",), 0, 10**5, False, 1e-4),
            ("fc", "Gemm", ("c",), 10**6, 4 * 10**6, False, 1e-4),
            ("lost", "Something", (), 0, 0, False, 1e-4),
        )
    )  # fmt: skip
    whole = LayerTable(
        model="resnet18", backend="null", precision=precision, batch=1, threads=1, iterations=2, rows=rows,
        macs=11 * 10**6, flops=22 * 10**6, uncovered=(), uncovered_macs=0, latency_s=1e-3 * scale,
        onnx_sha256="ab" * 32,
    )  # fmt: skip
    return StoredLayers(
        id=f"20260101T00000{int(2 * scale)}Z-00000000", started_at="2026-01-01T00:00:00+00:00", device="virtual",
        environment=ENVIRONMENT, table=whole, ceilings=ceilings().id,
    )  # fmt: skip


def answers(precision: str, right: str) -> AccuracyResult:
    """Sixteen answers of a network."""
    share = Share(value=0.75, low=0.5, high=0.9)
    return AccuracyResult(
        model="resnet18", backend="null", precision=Precision(precision), variant="", samples=16, classes=10,
        top1=share, top5=share, recipe="8x8", onnx_sha256="ab" * 32, evidence=EVIDENCE, right=right,
        data_sha256="cd" * 32,
    )  # fmt: skip


def material() -> Material:
    records = tuple(case(number, batch) for number in range(3) for batch in (1, 4))
    families = {"resnet18": "resnet", "vgg16": "vgg", "squeezenet1_1": "squeezenet"}
    return Material(
        title="", records=records,
        specs={
            name: ModelSpec(name=name, family=family, input_shape=(3, 8, 8), num_classes=1000, params=10**6, macs=10**8,
                            activation_bytes=1, paper="")
            for name, family in families.items()
        },
        accuracies={one.id: Accuracy(value=0.7, low=0.68, high=0.72, source="measured") for one in records},
        medians_s={one.id: (0.01, 0.011, 0.012) for one in records},
        front={"0-1": 0.99, "1-1": 0.4},
        series=(runs(),),
        ceilings=(ceilings(),),
        layers=(table("fp32"), table("int8")),
        answers=(answers("fp32", "fff0"), answers("int8", "ff0f")),
    )  # fmt: skip


def points() -> tuple[Point, ...]:
    (found,) = points_by_machine(material()).values()
    return found
