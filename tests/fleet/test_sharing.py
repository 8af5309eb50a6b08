"""A sweep's plan and its ONNX files: whoever has the store can measure it and go on with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchbox.errors import StoreError, UsageError
from benchbox.fleet.objects import objects_at
from benchbox.fleet.plan import SweepPlan, arguments_of, newest_plan, plan_of
from benchbox.fleet.sharing import fetch_networks, fetch_plans, networks_of, publish, require_networks
from benchbox.fleet.sweep_file import Sweep
from benchbox.models.sources import name_of_file


def write_network(path: Path, *, value: float = 1.0, beside: str = "") -> None:
    weights = numpy_helper.from_array(np.full((8, 8), value, np.float32), "w")
    border = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 8]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "net", border[:1], border[1:], [weights])
    path.parent.mkdir(parents=True, exist_ok=True)
    if beside:
        (path.parent / beside).unlink(missing_ok=True)
    onnx.save_model(
        helper.make_model(graph), str(path), save_as_external_data=bool(beside), location=beside or None,
        size_threshold=0,
    )  # fmt: skip


def planned(*files: Path) -> SweepPlan:
    sweep = Sweep(models=[*map(str, files), "lenet5"], backends=["onnxruntime"], name="shared")
    return plan_of(sweep, estimate=lambda case, processes: 1.0, networks=networks_of(sweep.cases()))


@pytest.mark.parametrize("beside", ["", "net.data"])
def test_a_network_reaches_a_node_whole_and_under_its_name(beside: str, tmp_path: Path) -> None:
    file, store = tmp_path / "bert" / "model.onnx", objects_at(str(tmp_path / "store"))
    write_network(file, beside=beside)
    plan = planned(file)
    assert list(plan.networks) == [str(file)]
    publish(plan, store)
    found = fetch_networks(tmp_path / "node", plan, plan.units[0], store)
    assert list(found) == [str(file)]
    there = Path(found[str(file)])
    assert there.read_bytes() == file.read_bytes()
    assert name_of_file(there) == name_of_file(file) == "bert-model"
    assert numpy_helper.to_array(onnx.load(str(there)).graph.initializer[0])[0, 0] == 1.0
    step = next(step for step in plan.steps if step.case.model == str(file))
    assert arguments_of(plan, step, found)[1] == str(there)
    file.unlink()
    publish(plan, store)  # what is there is not asked for again
    there.write_bytes(b"")
    assert fetch_networks(tmp_path / "node", plan, plan.units[0], store) == found
    assert there.stat().st_size > 0


def test_what_is_damaged_or_gone_is_said(tmp_path: Path) -> None:
    file, store = tmp_path / "net.onnx", objects_at(str(tmp_path / "store"))
    write_network(file)
    plan = planned(file)
    with pytest.raises(StoreError, match="is not in the store"):
        fetch_networks(tmp_path / "node", plan, plan.units[0], store)
    publish(plan, store)
    (stored,) = (tmp_path / "store" / "networks").rglob("*.onnx")
    stored.write_bytes(b"half")
    with pytest.raises(StoreError, match="or is damaged there"):
        fetch_networks(tmp_path / "node", plan, plan.units[0], store)
    stored.unlink()
    file.unlink()
    with pytest.raises(UsageError, match="there is no ONNX file"):
        publish(plan, store)


def test_data_elsewhere_cannot_travel(tmp_path: Path) -> None:
    file = tmp_path / "a" / "net.onnx"
    write_network(file, beside="net.data")
    proto = onnx.load(str(file), load_external_data=False)
    next(entry for entry in proto.graph.initializer[0].external_data if entry.key == "location").value = "../net.data"
    (tmp_path / "net.data").write_bytes((tmp_path / "a" / "net.data").read_bytes())
    file.write_bytes(proto.SerializeToString())
    with pytest.raises(UsageError, match="does not lie beside it"):
        publish(planned(file), objects_at(str(tmp_path / "store")))


def test_another_machine_finds_the_plan(tmp_path: Path) -> None:
    file, store = tmp_path / "net.onnx", objects_at(str(tmp_path / "store"))
    write_network(file)
    plan = planned(file)
    publish(plan, store)
    fetch_plans(tmp_path / "other", store)
    assert newest_plan(tmp_path / "other", plan.sweep) == plan
    require_networks(plan)
    write_network(file, value=2.0)
    with pytest.raises(UsageError, match="another one than when the sweep was planned"):
        require_networks(plan)
