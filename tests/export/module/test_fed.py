"""What is fed follows from the graph where it says so, else from the example that somebody gave."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from benchbox.export.module.checking import expected_of, fed_inputs_of
from benchbox.models.building import Network
from benchbox.models.examples import ExampleInput
from benchbox.schema.artifact import BatchRange, Drawn, TensorSpec
from benchbox.stats.inputs import fed_inputs, seeded_arrays

_KINDS = {
    torch.float32: TensorProto.FLOAT,
    torch.int64: TensorProto.INT64,
    torch.bool: TensorProto.BOOL,
    torch.uint16: TensorProto.UINT16,
}


def fed(root: Path, axis: int | None = 0, size: str = "", **examples: torch.Tensor) -> dict[str, TensorSpec]:
    """What inputs of these names are fed, in a graph that looks ``ids`` up in a table and says nothing of the rest."""
    inputs = [helper.make_tensor_value_info(name, _KINDS[one.dtype], one.shape) for name, one in examples.items()]
    nodes = [
        helper.make_node("Gather", ["table", name], [f"{name}_y"])
        if name == "ids"
        else helper.make_node("Identity", [name], [f"{name}_y"])
        for name in examples
    ]
    table = numpy_helper.from_array(np.zeros((50, 2), np.float32), "table")
    proto = helper.make_model(helper.make_graph(nodes, "net", inputs, [], [table]))
    given = tuple(ExampleInput(name=name, tensor=one, batch_axis=axis, size=size) for name, one in examples.items())
    network = Network(module=nn.Identity(), inputs=given, fixed_batch=None, weights="", has_example=True)
    return {spec.name: spec for spec in fed_inputs_of(network, proto, root=root)}


def drawn(spec: TensorSpec) -> Drawn | None:
    return None if spec.values is None else spec.values.drawn


def test_ids_and_plain_numbers_are_drawn(tmp_path: Path) -> None:
    found = fed(tmp_path, ids=torch.tensor([[3, 4], [5, 6]]), x=torch.randn(2, 3))
    assert (drawn(found["ids"]), drawn(found["x"])) == (Drawn.ROWS, None)
    assert not list(tmp_path.iterdir()), "nothing is kept where everything is drawn"


@pytest.mark.parametrize(
    "example",
    [
        torch.tensor([[7, 8, 9], [7, 8, 9]]),
        torch.tensor([[True, False, False], [True, True, False]]),
        torch.tensor([0.25, 4.0]),
        torch.tensor([[1, 2], [3, 4]], dtype=torch.uint16),
    ],
    ids=["positions in order", "truth values", "a number a sample", "small whole numbers"],
)
def test_what_nothing_tells_is_the_example_itself(example: torch.Tensor, tmp_path: Path) -> None:
    found = fed(tmp_path, what=example, x=torch.randn(2, 3))
    assert drawn(found["what"]) is Drawn.FILE
    made = seeded_arrays(list(found.values()), seed=0, samples=3)
    np.testing.assert_array_equal(made["what"], example.numpy()[[0, 1, 0]])
    (record, _) = fed_inputs(list(found.values()), batch=2)
    assert record.values == "the example inputs: 2 samples, in turn"
    assert not record.assumed


def test_masks_are_those_of_the_example(tmp_path: Path) -> None:
    """Ones would leave a padding mask of PyTorch's own nothing to attend to, and an additive mask no form."""
    form = torch.full((3, 3), float("-inf")).triu(1)
    ones, nothing = torch.ones(2, 3, dtype=torch.int64), torch.zeros(2, 3, dtype=torch.bool)
    found = fed(tmp_path, attention_mask=ones, key_padding_mask=nothing) | fed(tmp_path, None, attn_mask=form)
    assert drawn(found["attention_mask"]) is Drawn.ONES
    made = seeded_arrays(list(found.values()), seed=0, samples=2)
    assert not made["key_padding_mask"].any()
    np.testing.assert_array_equal(made["attn_mask"], form.numpy())


def test_one_value_everywhere_is_that_value(tmp_path: Path) -> None:
    found = fed(tmp_path, kind=torch.full((2, 1), 4), rate=torch.tensor([0.5, 0.5]), picture=torch.zeros(2, 3, 4))
    assert [drawn(spec) for spec in found.values()] == [Drawn.EXAMPLE, Drawn.EXAMPLE, None]
    made = seeded_arrays(list(found.values()), seed=0, samples=2)
    assert (made["kind"].tolist(), made["rate"].tolist()) == ([[4], [4]], [0.5, 0.5])
    assert made["picture"].std() > 0.5, "a placeholder of zeros is no picture"


def test_sizes_that_nobody_said_go_into_the_record(tmp_path: Path) -> None:
    found = fed(
        tmp_path, size="sequence=2", ids=torch.tensor([[3, 4]]), x=torch.randn(1, 3), place=torch.arange(2)[None]
    )
    records = fed_inputs(list(found.values()), batch=1)
    assert {record.size for record in records} == {"sequence=2"}
    assert records[1].values == "seeded, standard normal"


class Between(nn.Module):
    """A table that is looked up by the distance of two columns, which must be in order."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(50, 2)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = self.table(ids[:, 0]) + self.table(ids[:, 1] - ids[:, 0])
        return made


def test_rows_that_a_network_cannot_take_are_those_of_the_example(tmp_path: Path) -> None:
    ids = torch.tensor([[2, 9], [3, 3]])
    given = ExampleInput(name="ids", tensor=ids, batch_axis=0)
    network = Network(module=Between().eval(), inputs=(given,), fixed_batch=None, weights="", has_example=True)
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 2])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "net", [], [output])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    (rows,) = fed(tmp_path, ids=ids).values()
    assert drawn(rows) is Drawn.ROWS
    found = expected_of(network, proto, [rows], sizes=BatchRange(), seed=0, root=tmp_path)
    (spec,) = found.check.inputs
    assert drawn(spec) is Drawn.FILE
    assert "does not run on every row" in found.warnings[0]
