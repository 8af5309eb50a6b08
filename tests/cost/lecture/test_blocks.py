"""The formulas of building blocks are what counting a graph of them gives."""

from __future__ import annotations

import numpy as np
import pytest
from graphs import cost_from_onnx, model_of, saved
from hypothesis import given, settings
from hypothesis import strategies as st
from lecture_blocks import BLOCKS, BlockConv, Monomial, summed
from onnx import helper


@settings(max_examples=30, deadline=None)
@given(name=st.sampled_from(list(BLOCKS)), sizes=st.tuples(*[st.integers(1, 6)] * 3))
def test_blocks_are_what_counting_gives(
    name: str, sizes: tuple[int, int, int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    height, width, channels = sizes
    convs = BLOCKS[name]
    nodes, weights = [], {}
    for place, conv in enumerate(convs):
        shape = (conv.outputs * channels, conv.inputs * channels, conv.kernel, conv.kernel)
        weights[f"w{place}"] = np.zeros(shape, np.float32)
        pads = [conv.kernel // 2] * 4
        names = [f"t{place}", f"w{place}"]
        nodes.append(helper.make_node("Conv", names, [f"t{place + 1}"], name=f"conv{place}", pads=pads))
    scale = convs[0].scale
    inputs = {"t0": [1, convs[0].inputs * channels, scale * height, scale * width]}
    path = saved(tmp_path_factory.mktemp("block") / "net.onnx", model_of(nodes, inputs=inputs, weights=weights))
    cost = cost_from_onnx(path)
    size = {"height": height, "width": width, "channels": channels}
    assert cost.macs == summed([conv.flops for conv in convs]).at(**size)
    assert cost.params == summed([conv.params for conv in convs]).at(**size)
    assert cost.activation_bytes == 4 * summed([conv.memory for conv in convs]).at(**size)


def test_formulas_are_written_as_on_the_slides() -> None:
    assert str(Monomial(coefficient=36, area=1, channels=2)) == "36HWC^2"
    assert str(Monomial(coefficient=9, area=0, channels=2)) == "9C^2"
    assert str(BlockConv(kernel=1).memory) == "HWC"


def test_unlike_terms_do_not_add_up() -> None:
    with pytest.raises(ValueError, match="9HWC"):
        summed([BlockConv(kernel=3).flops, BlockConv(kernel=3).params])
