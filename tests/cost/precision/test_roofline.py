"""Devices and bounds: numbers by hand, and what holds for every device."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchbox.cost.grouping import GROUPINGS
from benchbox.cost.precision.roofline import (
    LayerPair,
    bound_of,
    layer_pairs,
    pair_key,
    row_from_pairs,
    rows_from_pairs,
)
from benchbox.errors import UsageError
from benchbox.jobs.prepare import PaperCosts, precision_costs_from_source
from benchbox.machine.rates import (
    INSTRUCTION_SETS,
    device_from_isa,
    device_from_name,
    device_from_product,
    device_names,
    with_rates,
)
from benchbox.models.sources import resolve
from benchbox.schema.cost import LayerCost
from benchbox.schema.device import Device
from benchbox.schema.model import Precision

DEVICE = Device(
    name="d", title="d", rates={"fp32": 1.0, "int8": 4.0}, fp32_flops_per_s=2e9, bytes_per_s=1e9, source="none"
)
GPUS = [name for name in device_names() if name not in {"cpu", "here", *INSTRUCTION_SETS}]


def _pair(name: str, *, macs: int, old: int, new: int, kind: str = "int8", added: bool = False) -> LayerPair:
    layer = LayerCost(name=name, op="Conv", output_shape=(1,), macs=macs)
    return LayerPair(
        name=name,
        op="Conv",
        type=kind,
        base_type="fp32",
        added=added,
        base=None if added else layer,
        other=layer,
        base_bytes=old,
        other_bytes=new,
    )


def test_one_layer_bound_by_arithmetic_and_one_by_memory() -> None:
    work = _pair("work", macs=4_000_000, old=400_000, new=100_000)  # 4 ms against 0.4 ms; then 1 ms against 0.1 ms
    bytes_ = _pair("bytes", macs=1000, old=2_000_000, new=500_000)  # 2 ms; then 0.5 ms
    assert bound_of([work], DEVICE).ideal == pytest.approx(4.0)
    assert bound_of([work], DEVICE).by == "compute"
    assert bound_of([bytes_], DEVICE).by == "memory"
    both = bound_of([work, bytes_], DEVICE)
    assert both.base_time_s == pytest.approx(6e-3)
    assert both.time_s == pytest.approx(1.5e-3)


def test_what_is_left_in_fp32_and_what_is_added_hold_the_network_back() -> None:
    """Amdahl: 4 ms become 1 ms, 4 ms stay, 1 ms is added."""
    pairs = [
        _pair("quantised", macs=4_000_000, old=0, new=0),
        _pair("excluded", macs=4_000_000, old=0, new=0, kind="fp32"),
        _pair("quantize", macs=0, old=0, new=1_000_000, kind="", added=True),
    ]
    whole = bound_of(pairs, DEVICE)
    assert whole.ideal == pytest.approx(8 / 6)
    assert whole.compute == pytest.approx(8 / 5)
    rows = {row.name: row for row in rows_from_pairs(pairs, DEVICE, key=pair_key("op"))}
    assert rows["casts and Q/DQ"].bound.ideal is None
    assert rows["casts and Q/DQ"].bound.time_s == pytest.approx(1e-3)


def test_without_a_balance_there_are_two_limits_and_no_bound() -> None:
    blind = Device(name="d", title="d", rates=DEVICE.rates)
    bound = bound_of([_pair("a", macs=1000, old=3000, new=1000)], blind)
    assert (bound.compute, bound.memory, bound.ideal, bound.by) == (4.0, 3.0, None, "")
    assert blind.balance is None
    assert DEVICE.balance == 2.0


def test_without_a_rate_only_bytes_are_compared() -> None:
    pair = _pair("a", macs=1000, old=3000, new=1000, kind="fp8")
    for device in (DEVICE, None):
        bound = bound_of([pair], device)
        assert (bound.compute, bound.memory, bound.ideal) == (None, 3.0, None)
    assert bound_of([_pair("pool", macs=0, old=3000, new=1000, kind="fp8")], DEVICE).ideal == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("isa", "rates"),
    [
        ("fma avx avx2", {"fp32": 1, "int8": 2, "fp16": 1, "bf16": 1, "fp8": 1}),
        ("fma avx avx2 avx_vnni", {"fp32": 1, "int8": 4, "fp16": 1, "bf16": 1, "fp8": 1}),
        ("fma avx avx2 avx512f avx512bw", {"fp32": 1, "int8": 4 / 3, "fp16": 1, "bf16": 1, "fp8": 1}),
        ("fma avx2 avx512f avx512bw avx512_vnni avx512_bf16", {"fp32": 1, "int8": 4, "bf16": 2, "fp16": 1, "fp8": 1}),
        (
            "fma avx2 avx512f avx512bw avx512_vnni avx512_bf16 avx512_fp16 amx_tile amx_int8 amx_bf16",
            {"fp32": 1, "int8": 32, "bf16": 16, "fp16": 2, "fp8": 1},
        ),
    ],
)
def test_processors_by_their_instruction_sets(isa: str, rates: dict[str, float]) -> None:
    device = device_from_isa(isa, name="cpu", title="a processor")
    assert device is not None
    assert dict(device.rates) == pytest.approx(rates)
    assert device.fp32_flops_per_s is None, "no clock and no number of cores is guessed"
    assert device.bytes_per_s is None
    assert set(device.widened) == {kind for kind in ("fp16", "bf16", "fp8") if rates[kind] == 1}


def test_an_unknown_device_has_no_rates() -> None:
    assert device_from_isa("", name="cpu", title="an arm") is None
    assert device_from_name("cpu", isa="sse2", cpu="old") is None
    assert device_from_product("NVIDIA Nothing 9000") is None
    with pytest.raises(UsageError, match="did you mean 'h100-sxm'"):
        device_from_name("h100-sxn", isa="", cpu="")


@pytest.mark.parametrize("name", GPUS)
def test_rows_of_the_data_file(name: str) -> None:
    device = device_from_name(name, isa="", cpu="")
    assert device is not None
    assert device.source.startswith("https://")
    assert device.rates["fp32"] == 1
    assert device.rates["int8"] >= device.rates["fp16"] > 1 if "int8" in device.rates else device.rates["fp16"] > 1
    assert device.fp32_flops_per_s is not None
    assert 1e12 < device.fp32_flops_per_s < 2e14
    assert device.bytes_per_s is not None
    assert 1e11 < device.bytes_per_s < 1e13


def test_a_product_of_nvml_is_found_and_given_rates_take_over() -> None:
    device = device_from_product("NVIDIA H100 80GB HBM3")
    assert device is not None
    assert device.name == "h100-sxm"
    assert device.rates["fp8"] * (device.fp32_flops_per_s or 0) == pytest.approx(1978.9e12)
    assert with_rates(device, flops_per_s=None, bytes_per_s=1e12).bytes_per_s == 1e12
    assert with_rates(device, flops_per_s=1e12, bytes_per_s=None).fp32_flops_per_s == 1e12
    with pytest.raises(UsageError, match="above 0"):
        with_rates(device, flops_per_s=None, bytes_per_s=0.0)


@pytest.fixture(scope="module")
def costs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], PaperCosts]:
    root = tmp_path_factory.mktemp("roofline")
    kinds = (Precision.FP32, Precision.TF32, Precision.FP16, Precision.BF16, Precision.INT8, Precision.FP8)
    return lambda name: precision_costs_from_source(
        resolve(name, input_shape=None, weights=None), precisions=kinds, root=root
    )


@pytest.mark.parametrize("name", ["lenet5", pytest.param("resnet18", marks=pytest.mark.nightly)])
def test_what_holds_on_every_device(name: str, costs: Callable[[str], PaperCosts]) -> None:
    """fp32 is no faster than itself; no layer passes the larger of its limits; rows add up to the network."""
    found = costs(name)
    for label in device_names():
        device = device_from_name(label, isa="fma avx2", cpu="cpu")
        assert device is not None
        device = with_rates(device, flops_per_s=device.fp32_flops_per_s or 1e12, bytes_per_s=device.bytes_per_s or 1e11)
        for cost in found.precisions:
            pairs = layer_pairs(found.fp32, cost)
            whole = row_from_pairs("total", pairs, device)
            if cost.precision == "fp32":
                assert whole.bound.ideal == pytest.approx(1.0)
            for row in rows_from_pairs(pairs, device, key=pair_key("layer")):
                limits = [limit for limit in (row.bound.compute, row.bound.memory) if limit is not None]
                if row.bound.ideal is not None:
                    assert row.bound.ideal <= max(limits) * (1 + 1e-9)
            for key in map(pair_key, GROUPINGS):
                rows = rows_from_pairs(pairs, device, key=key)
                assert sum(row.macs for row in rows) == found.cost.macs
                assert sum(row.write_bytes for row in rows) == cost.cost.activation_bytes
                assert sum(row.least_bytes for row in rows) == whole.least_bytes == sum(cost.least_bytes.values())
                if whole.bound.time_s is not None:
                    assert sum(row.bound.time_s or 0 for row in rows) == pytest.approx(whole.bound.time_s)


def test_halves_and_quarters(costs: Callable[[str], PaperCosts]) -> None:
    found = costs("resnet18")
    by_name = {cost.precision: cost for cost in found.precisions}
    assert found.fp32 == by_name["fp32"]
    half, eighth = by_name["fp16"], by_name["int8"]
    axes_and_shape = 4 * 8  # integers stay what they are
    assert 2 * half.cost.weight_bytes - found.cost.weight_bytes == axes_and_shape
    assert half.macs_in_precision == eighth.macs_in_precision == found.cost.macs
    assert half.cost.weight_bytes == by_name["bf16"].cost.weight_bytes
    assert by_name["tf32"].cost.weight_bytes == found.cost.weight_bytes
    assert set(by_name["tf32"].types.values()) == {"tf32"}
    assert eighth.cost.weight_bytes < 0.26 * found.cost.weight_bytes
    assert eighth.cost.activation_bytes < half.cost.activation_bytes < found.cost.activation_bytes
    assert eighth.added == {"input.quantize"}
