"""What does the tool compute for each figure that the lecture prints?

``figures`` goes through the lecture slide by slide. Every value comes from the counted graphs of the zoo's networks
(``benchbox.cost.lecture.table``), from building-block formulas, or from the published accuracies in the zoo's facts;
none is copied from the lecture. ``write_lecture.py`` writes the page from them; the tests hold them against what is
printed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from lecture_blocks import BLOCKS, summed

from benchbox.cost.lecture.table import BYTES_PER_ELEMENT, LectureRow, RowKind, lecture_rows
from benchbox.graph.graph import Graph
from benchbox.models.zoo.zoo import specs

CONV, POOL, FC = RowKind.CONV, RowKind.POOL, RowKind.FC
Value = int | float | str | bool | tuple[object, ...]


def total(rows: Sequence[LectureRow], what: str, *kinds: RowKind) -> int:
    """Sum of a row's ``params``, ``flops`` or ``memory_bytes`` over the rows of these kinds, all by default."""
    return sum(getattr(row, what) for row in rows if not kinds or row.kind in kinds)


def weight_shape(row: LectureRow) -> tuple[int, ...]:
    """(C_out, C_in, *kernel) of a convolution without groups, (C_in, C_out) of a fully connected layer."""
    return (row.in_c, row.out_c) if row.kind is RowKind.FC else (row.out_c, row.in_c, *row.kernel)


@dataclass(frozen=True)
class Network:
    """A counted network and its table."""

    graph: Graph

    @cached_property
    def rows(self) -> tuple[LectureRow, ...]:
        """The lecture's table."""
        return lecture_rows(self.graph)

    def of(self, kind: RowKind) -> list[LectureRow]:
        """The rows of one kind."""
        return [row for row in self.rows if row.kind is kind]

    def sum(self, what: str, *kinds: RowKind) -> int:
        """Sum of a column."""
        return total(self.rows, what, *kinds)

    @property
    def macs(self) -> int:
        """Convolutions and fully connected layers."""
        return self.sum("flops", CONV, FC)

    @property
    def params(self) -> int:
        """Of the whole network."""
        assert self.graph.params is not None
        return self.graph.params

    def relus(self) -> list[tuple[int, ...]]:
        """Output shapes of the ReLUs, without the batch."""
        return [node.outputs[0].shape[1:] for node in self.graph.nodes if node.op == "Relu"]

    def stages(self) -> list[list[LectureRow]]:
        """Convolutions between the pools."""
        found: list[list[LectureRow]] = [[]]
        for row in self.rows:
            if row.kind is POOL:
                found.append([])
            elif row.kind is CONV:
                found[-1].append(row)
        return [stage for stage in found if stage]

    def until(self, side: int) -> list[LectureRow]:
        """The rows before the map has this side: convolutions on larger maps, and the pool that ends at it."""
        return [row for row in self.rows if row.in_hw and row.in_hw[0] > side]


def figures(graph_of: Callable[[str], Graph]) -> dict[str, Value]:
    """The exact value of every figure that can be computed, by its id."""
    networks: dict[str, Network] = {}

    def network(name: str) -> Network:
        return networks.setdefault(name, Network(graph_of(name)))

    found: dict[str, Value] = {}
    for part in (_lenet, _alexnet, _zfnet, _vgg, _totals, _googlenet, _vgg_compared, _resnets, _rest):
        for name, value in part(network):
            assert name not in found, name
            found[name] = value
    return found


Networks = Callable[[str], Network]
Found = Iterator[tuple[str, Value]]


def _lenet(network: Networks) -> Found:
    net = network("lenet5")
    (image,) = net.graph.inputs
    yield "lenet5.Input.output_shape", image.shape[1:]
    for number, (conv, pool) in enumerate(zip(net.of(CONV), net.of(POOL), strict=True), start=1):
        yield f"lenet5.Conv{number}.filters", conv.out_c
        yield f"lenet5.Conv{number}.kernel", conv.kernel[0]
        yield f"lenet5.Conv{number}.pad", conv.pad[0]
        yield f"lenet5.Conv{number}.stride", conv.stride[0]
        yield f"lenet5.Conv{number}.output_shape", (conv.out_c, *conv.out_hw)
        yield f"lenet5.Conv{number}.weight_shape", weight_shape(conv)
        yield f"lenet5.MaxPool{number}.kernel", pool.kernel[0]
        yield f"lenet5.MaxPool{number}.stride", pool.stride[0]
        yield f"lenet5.MaxPool{number}.output_shape", (pool.out_c, *pool.out_hw)
    for number, shape in enumerate(net.relus(), start=1):
        yield f"lenet5.ReLU{number}.output_shape", shape
    yield "lenet5.Flatten.output_shape", (net.of(RowKind.FLATTEN)[0].out_c,)
    for number, linear in enumerate(net.of(FC), start=1):
        yield f"lenet5.Linear{number}.cin", linear.in_c
        yield f"lenet5.Linear{number}.cout", linear.out_c
        yield f"lenet5.Linear{number}.output_shape", (linear.out_c,)
        yield f"lenet5.Linear{number}.weight_shape", weight_shape(linear)
    maps = [(row.out_c, row.out_hw[0]) for row in net.rows if row.out_hw]
    volumes = [image.elements, *(row.elements for row in net.rows if row.kind is not RowKind.FLATTEN)]
    yield "lenet5.claim.volume_preserved", len(set(volumes)) == 1
    yield "lenet5.claim.spatial_decreases", _falls([image.shape[2], *(side for _, side in maps)])
    yield "lenet5.claim.channels_increase", _falls([-image.shape[1], *(-channels for channels, _ in maps)])


def _falls(values: list[int]) -> bool:
    return values == sorted(values, reverse=True) and values[-1] < values[0]


def _cells(prefix: str, row: LectureRow) -> Found:
    """A row of a table, cell by cell."""
    yield f"{prefix}.in_c", row.in_c
    yield f"{prefix}.out_c", row.out_c
    if row.in_hw:
        yield f"{prefix}.in_hw", row.in_hw[0]
    if row.out_hw:
        yield f"{prefix}.out_hw", row.out_hw[0]
    if row.filters is not None:
        yield f"{prefix}.filters", row.filters
    if row.kernel:
        yield f"{prefix}.kernel", row.kernel[0]
        yield f"{prefix}.stride", row.stride[0]
        yield f"{prefix}.pad", row.pad[0]
    yield f"{prefix}.memory_kb", row.memory_bytes / 1024
    yield f"{prefix}.params_k", row.params / 1000
    yield f"{prefix}.flops_m", row.flops / 1e6


def _alexnet(network: Networks) -> Found:
    paper = network("alexnet_paper")
    yield "alexnet_paper.input_dim", math.prod(specs()["alexnet"].input_shape)
    for number, row in enumerate([*paper.of(CONV), *paper.of(FC)], start=1):
        yield f"alexnet_paper.{'Conv' if row.kind is CONV else 'FC'}{number}.n_neurons", row.elements
    net = network("alexnet_lecture")
    conv, pools, dense = net.of(CONV), net.of(POOL), net.of(FC)
    first, pool, fc6 = conv[0], pools[0], dense[0]
    yield "alexnet.input_size", first.in_hw[0]
    yield "alexnet.n_conv", len(conv)
    yield "alexnet.n_fc", len(dense)
    yield "alexnet.Conv1.filters_note", first.out_c
    yield "alexnet.bytes_per_element", BYTES_PER_ELEMENT
    reach = first.in_hw[0] - first.kernel[0] + 2 * first.pad[0]
    yield "alexnet.ex.conv1_out", (
        first.in_hw[0], first.kernel[0], first.pad[0], first.stride[0], reach, reach // first.stride[0] + 1
    )  # fmt: skip
    yield "alexnet.ex.conv1_elems", first.elements
    yield "alexnet.ex.conv1_kb", first.memory_bytes / 1024
    yield "alexnet.ex.conv1_bias", first.params - math.prod(weight_shape(first))
    yield "alexnet.ex.conv1_weight_shape", weight_shape(first)
    yield "alexnet.ex.conv1_params", first.params
    yield "alexnet.ex.conv1_ops_per_out", first.flops // first.elements
    yield "alexnet.ex.conv1_flops", first.flops
    side = pool.in_hw[0] - pool.kernel[0]
    yield "alexnet.ex.pool1_out", (side, side / pool.stride[0] + 1, side // pool.stride[0] + 1)
    yield "alexnet.ex.pool1_flops", pool.flops
    yield "alexnet.ex.pool1_mflop", pool.flops / 1e6
    yield "alexnet.ex.fc6_params", fc6.params
    yield "alexnet.ex.fc6_flops", fc6.flops
    for number, row in enumerate(conv, start=1):
        yield from _cells(f"alexnet.Conv{number}", row)
    for number, row in zip((1, 2, 5), pools, strict=True):
        yield from _cells(f"alexnet.Pool{number}", row)
    yield from _cells("alexnet.Flatten", net.of(RowKind.FLATTEN)[0])
    for number, row in enumerate(dense, start=6):
        yield from _cells(f"alexnet.FC{number}", row)
    early = sum(row.memory_bytes for row in conv[:2]) / net.sum("memory_bytes", CONV, FC)
    yield "alexnet.claim.memory_early_conv", early > 0.5
    yield "alexnet.claim.params_fc", net.sum("params", FC) / net.params > 0.9
    yield "alexnet.claim.flops_conv", net.sum("flops", CONV) / net.macs > 0.5


def _zfnet(network: Networks) -> Found:
    before, after = network("alexnet_paper").of(CONV), network("zfnet").of(CONV)
    yield "zfnet.conv1", (after[0].kernel[0], after[0].stride[0], before[0].kernel[0], before[0].stride[0])
    yield "zfnet.conv345", tuple(row.out_c for row in (*after[2:], *before[2:]))


def _vgg(network: Networks) -> Found:
    small, large = network("vgg16"), network("vgg19")
    (rule,) = {(row.kernel[0], row.stride[0], row.pad[0]) for row in (*small.of(CONV), *large.of(CONV))}
    (pool,) = {(row.kernel[0], row.stride[0]) for row in (*small.of(POOL), *large.of(POOL))}
    yield "vgg.rule.conv", rule
    yield "vgg.rule.pool", pool
    yield "vgg.n_stages", len(small.stages())
    for number, (one, other) in enumerate(zip(small.stages(), large.stages(), strict=True), start=1):
        yield f"vgg.stage{number}.convs", (len(one), len(other))
    yield "vgg.name.16", len(small.of(CONV)) + len(small.of(FC))
    yield "vgg.name.19", len(large.of(CONV)) + len(large.of(FC))
    for number, name in enumerate(("VGG stage on C x 2H x 2W", "VGG stage on 2C x H x W"), start=1):
        (conv,) = BLOCKS[name]
        yield f"vgg.sym{number}.memory", str(conv.memory)
        yield f"vgg.sym{number}.params", str(conv.params)
        yield f"vgg.sym{number}.flops", str(conv.flops)
    inner = {row.flops for stage in small.stages()[:4] for row in stage if row.in_c == row.out_c}
    yield "vgg.claim.equal_flops", len(inner) == 1
    for name, block in (("opt_5x5", "one 5x5 convolution"), ("opt_3x3x2", "two 3x3 convolutions")):
        yield f"vgg.{name}.params", str(summed([conv.params for conv in BLOCKS[block]]))
        yield f"vgg.{name}.flops", str(summed([conv.flops for conv in BLOCKS[block]]))


def _totals(network: Networks) -> Found:
    alexnet, vgg = network("alexnet_lecture"), network("vgg16")
    yield "total.alexnet.memory_mb", alexnet.sum("memory_bytes", CONV) / 2**20
    yield "total.vgg16.memory_mb", vgg.sum("memory_bytes", CONV) / 2**20
    yield "total.ratio.memory", vgg.sum("memory_bytes", CONV) / alexnet.sum("memory_bytes", CONV)
    yield "total.alexnet.params_m", alexnet.params / 1e6
    yield "total.vgg16.params_m", vgg.params / 1e6
    yield "total.ratio.params", vgg.params / alexnet.params
    yield "total.alexnet.gflop", alexnet.macs / 1e9
    yield "total.vgg16.gflop", vgg.macs / 1e9
    yield "total.ratio.flops", vgg.macs / alexnet.macs


def _googlenet(network: Networks) -> Found:
    net = network("googlenet_paper")
    stem = net.rows[:5]
    for title, row in zip(("Conv1", "Max-pool1", "Conv2", "Conv3", "Max-pool2"), stem, strict=True):
        yield from _cells(f"googlenet.{title}", row)
    yield "googlenet.stem.memory_mb", total(stem, "memory_bytes") / 2**20
    yield "googlenet.stem.params_k", total(stem, "params") / 1000
    yield "googlenet.stem.mflop", total(stem, "flops") / 1e6
    yield "googlenet.stem.downsampling", stem[0].in_hw[0] // stem[-1].out_hw[0]
    yield from _cells("googlenet.avg-pool", net.of(POOL)[-1])
    yield from _cells("googlenet.fc", net.of(FC)[-1])
    yield "googlenet.fc.out_hw", 1  # a vector is a map of one place


def _vgg_compared(network: Networks) -> Found:
    vgg, stem = network("vgg16"), network("googlenet_paper").rows[:5]
    first = vgg.until(28)
    yield "vgg16.to28.memory_mb", total(first, "memory_bytes", CONV) / 2**20
    yield "vgg16.to28.memory_ratio", total(first, "memory_bytes") / total(stem, "memory_bytes")
    yield "vgg16.to28.params_m", total(first, "params") / 1e6
    yield "vgg16.to28.params_ratio", total(first, "params") / total(stem, "params")
    yield "vgg16.to28.mflop", total(first, "flops", CONV) / 1e6
    yield "vgg16.to28.flops_ratio", total(first, "flops", CONV) / total(stem, "flops", CONV)
    yield from _cells("vgg16.Flatten", vgg.of(RowKind.FLATTEN)[0])
    for number, row in enumerate(vgg.of(FC), start=6):
        yield from _cells(f"vgg16.FC{number}", row)
    yield "vgg16.claim.compute_at_start", total(first, "flops", CONV) / vgg.macs > 0.5
    yield "vgg16.claim.params_fc", vgg.sum("params", FC) / vgg.params > 0.5
    yield "vgg16.list.gflop", vgg.macs / 1e9


def _blocks(net: Network) -> list[list[list[LectureRow]]]:
    """Convolutions of the residual branches, per stage and block; those on shortcuts left out."""
    stages: dict[str, dict[str, list[LectureRow]]] = {}
    for row in net.of(CONV):
        if row.name.startswith("layer") and "downsample" not in row.name:
            stage, block, _ = row.name.split(".", 2)
            stages.setdefault(stage, {}).setdefault(block, []).append(row)
    return [list(blocks.values()) for blocks in stages.values()]


def _resnets(network: Networks) -> Found:
    for depth in (18, 34, 50, 101, 152):
        net = network(f"resnet{depth}_v1")
        stages = _blocks(net)
        layers = [sum(len(block) for block in stage) for stage in stages]
        table = f"resnet{depth}.table"
        yield f"{table}.block_type", {2: "Basic", 3: "Bottle"}[len(stages[0][0])]
        stem = [row for row in net.of(CONV) if not row.name.startswith("layer")]
        yield f"{table}.stem_layers", len(stem)
        for number, stage in enumerate(stages, start=1):
            yield f"{table}.stage{number}.blocks", len(stage)
            yield f"{table}.stage{number}.layers", layers[number - 1]
        yield f"{table}.fc_layers", len(net.of(FC))
        yield f"{table}.name", len(stem) + sum(layers) + len(net.of(FC))
        yield f"{table}.gflop", net.macs / 1e9
        yield f"{table}.top5", _top5_error(f"resnet{depth}")
        if depth in (18, 34):
            for number, stage in enumerate(stages, start=1):
                yield f"resnet{depth}.list.stage{number}.blocks", len(stage)
                yield f"resnet{depth}.list.stage{number}.convs", layers[number - 1]
                if depth == 18:
                    yield f"resnet18.list.stage{number}.channels", stage[0][0].out_c
            yield f"resnet{depth}.list.gflop", net.macs / 1e9
            yield f"resnet{depth}.list.top5", _top5_error(f"resnet{depth}")
    yield "vgg16.list.top5", _top5_error("vgg16")
    second = _blocks(network("resnet18_v1"))[1][0]
    yield "resnet.rule.convs_per_block", (len(second), second[0].kernel[0])
    yield "resnet.rule.stage_entry", (second[0].in_hw[0] // second[0].out_hw[0], second[0].out_c // second[0].in_c)
    yield "resnet.stem", len([row for row in network("resnet18_v1").of(CONV) if row.name == "conv1"])


def _top5_error(name: str) -> float:
    accuracy = specs()[name].accuracy
    assert accuracy is not None and accuracy.top5 is not None  # noqa: PT018
    return 100 * (1 - accuracy.top5)


def _rest(network: Networks) -> Found:
    basic, bottleneck = BLOCKS["basic residual block"], BLOCKS["bottleneck residual block"]
    for number, conv in enumerate(basic, start=1):
        yield f"block.basic.conv{number}", str(conv.flops)
    for number, conv in enumerate(bottleneck, start=1):
        yield f"block.bottleneck.conv{number}", str(conv.flops)
    cheaper = summed([conv.flops for conv in bottleneck]).coefficient < summed([c.flops for c in basic]).coefficient
    yield "block.claim.cheaper", cheaper and len(bottleneck) > len(basic)
    deep = {depth: network(f"resnet{depth}_v1") for depth in (34, 50, 101, 152)}
    yield "resnet50.claim.same_as_34", [len(s) for s in _blocks(deep[34])] == [len(s) for s in _blocks(deep[50])]
    heavier = deep[50].macs < deep[101].macs < deep[152].macs
    errors = [_top5_error(f"resnet{depth}") for depth in (50, 101, 152)]
    yield "resnet.claim.deeper_heavier", heavier and errors == sorted(errors, reverse=True)
    yield "msra.depth", len(_blocks(deep[152])) and 2 + sum(len(b) for s in _blocks(deep[152]) for b in s)
    yield "complexity.inception_v4", any(node.op == "Add" for node in network("inception_v4").graph.nodes)
    lecture = ("alexnet_lecture", "zfnet", "vgg16", "vgg19", "googlenet", "resnet50_v1", "resnet152_v1", "inception_v4")
    yield (
        "complexity.vgg",
        max(lecture, key=lambda name: network(name).macs)
        == "vgg19"
        == max(lecture, key=lambda name: network(name).params),
    )


def printed_from(graph_of: Callable[[str], Graph]) -> dict[str, float]:
    """How wrong or unusual figures came about: values that give what is printed, where we know how."""

    def network(name: str) -> Network:
        return Network(graph_of(name))

    alexnet, vgg, two = network("alexnet_lecture"), network("vgg16"), network("vgg16_lecture")
    first, stem = two.until(28), network("googlenet_paper").rows[:5]
    found: dict[str, float] = {
        "alexnet_paper.Conv1.n_neurons": 55 * 96 * 48,
        "total.alexnet.memory_mb": alexnet.sum("memory_bytes", CONV) / 2**20,
        "total.vgg16.memory_mb": two.sum("memory_bytes", CONV) / 2**20,
        "total.vgg16.gflop": two.macs / 1e9,
        "vgg16.list.gflop": two.macs / 1e9,
        "total.ratio.memory": int(48.6 / 1.9),
        "total.ratio.flops": 13.6 / 0.7,
        "vgg16.to28.memory_mb": total(first, "memory_bytes", CONV) / 2**20,
        "vgg16.to28.params_m": total(first, "params") / 1e6,
        "vgg16.to28.mflop": total(first, "flops", CONV) / 1e6,
        "vgg16.to28.memory_ratio": total(first, "memory_bytes", CONV) / total(stem, "memory_bytes"),
        "vgg16.to28.params_ratio": 1.1e6 / 124e3,
        "resnet50.table.gflop": int(network("resnet50_v1").macs / 1e8) / 10,
    }
    for title, net, place in (("alexnet.FC7", alexnet, 1), ("alexnet.FC8", alexnet, 2)):
        found[f"{title}.params_k"] = math.prod(weight_shape(net.of(FC)[place])) / 1000
    for place, row in enumerate(vgg.of(FC), start=6):
        found[f"vgg16.FC{place}.params_k"] = math.prod(weight_shape(row)) / 1000
    return found
