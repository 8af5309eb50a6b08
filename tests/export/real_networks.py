"""Small networks of the kinds that people deploy, as PyTorch writes them, with their multiply-adds by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx
import torch
from onnx import TensorProto, helper
from torch import nn
from torch.nn import functional

Inputs = dict[str, torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class Real:
    """A module, its example inputs by name, and what it must cost."""

    make: Callable[[], nn.Module]
    inputs: Callable[[], Inputs]
    macs: int
    outputs: tuple[str, ...]


LENGTH, WIDTH, HEADS, INNER, WORDS = 10, 16, 4, 32, 50


class Layer(nn.Module):
    """Attention over keys and values, then two products; what a transformer repeats."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.up, self.down = nn.Linear(WIDTH, INNER), nn.Linear(INNER, WIDTH)
        self.first, self.second = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)

    def heads(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        parts = self.qkv(x).chunk(3, -1)
        return tuple(part.unflatten(-1, (HEADS, WIDTH // HEADS)).transpose(1, 2) for part in parts)

    def mixed(self, x: torch.Tensor, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: object) -> torch.Tensor:
        made = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = self.first(x + self.out(made.transpose(1, 2).flatten(2)))
        return self.second(x + self.down(functional.gelu(self.up(x))))  # type: ignore[no-any-return]


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.places, self.layer = nn.Embedding(WORDS, WIDTH), nn.Embedding(LENGTH, WIDTH), Layer()
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        x = self.words(input_ids) + self.places(torch.arange(LENGTH))
        away = (1.0 - attention_mask[:, None, None, :].float()) * -1e9
        return self.head(self.layer.mixed(x, *self.layer.heads(x), away)[:, 0])  # type: ignore[no-any-return]


class Decoder(nn.Module):
    """One further word, with the keys and values of those before it."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.layer, self.head = nn.Embedding(WORDS, WIDTH), Layer(), nn.Linear(WIDTH, WORDS)

    def forward(self, ids: torch.Tensor, past_key: torch.Tensor, past_value: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x = self.words(ids)
        q, k, v = self.layer.heads(x)
        k, v = torch.cat([past_key, k], 2), torch.cat([past_value, v], 2)
        return self.head(self.layer.mixed(x, q, k, v, None)), k, v


class Stateful(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.out = nn.LSTM(6, 8, batch_first=True), nn.Linear(8, 2)

    def forward(self, x: torch.Tensor, h: torch.Tensor, c: torch.Tensor) -> tuple[torch.Tensor, ...]:
        y, (h, c) = self.lstm(x, (h, c))
        return self.out(y), h, c


class Detector(nn.Module):
    """Boxes around places of a map, and a score for each."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 5, 1)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found = self.head(functional.relu(self.stem(image))).flatten(2).transpose(1, 2)
        corner = found[..., :2].abs() * 8
        boxes = torch.cat([corner, corner + found[..., 2:4].abs() + 1], -1)
        return boxes, found[..., 4:].sigmoid().transpose(1, 2)


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down, self.deep = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
        self.norm, self.up = nn.GroupNorm(2, 16), nn.ConvTranspose2d(16, 8, 2, 2)
        self.join, self.head = nn.Conv2d(16, 8, 3, padding=1), nn.Conv2d(8, 2, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        a = functional.silu(self.down(image))
        b = functional.silu(self.norm(self.deep(functional.max_pool2d(a, 2))))
        return self.head(functional.silu(self.join(torch.cat([a, self.up(b)], 1))))  # type: ignore[no-any-return]


class Crnn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.lstm = nn.Conv2d(1, 6, 3, padding=1), nn.LSTM(24, 8, bidirectional=True, batch_first=True)
        self.out = nn.Linear(16, 11)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = functional.max_pool2d(functional.relu(self.conv(image)), 2)
        return self.out(self.lstm(x.permute(0, 3, 1, 2).flatten(2))[0]).log_softmax(-1)  # type: ignore[no-any-return]


class Swin(nn.Module):
    """Attention inside shifted windows of 4 by 4 places, with a bias by relative place."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.qkv, self.out = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.bias = nn.Parameter(torch.randn(49, HEADS))
        rows, columns = torch.meshgrid(torch.arange(4), torch.arange(4), indexing="ij")
        places = torch.stack([rows.flatten(), columns.flatten()])
        apart = places[:, :, None] - places[:, None, :] + 3
        self.register_buffer("index", (apart[0] * 7 + apart[1]).flatten())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.roll(self.norm(x), (-2, -2), (1, 2))
        windows = y.view(1, 2, 4, 2, 4, WIDTH).permute(0, 1, 3, 2, 4, 5).reshape(4, 16, WIDTH)
        q, k, v = self.qkv(windows).view(4, 16, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        bias = self.bias[self.index].view(16, 16, HEADS).permute(2, 0, 1)
        weights = (q @ k.transpose(-1, -2) / (WIDTH // HEADS) ** 0.5 + bias).softmax(-1)
        made = self.out((weights @ v).transpose(1, 2).reshape(4, 16, WIDTH))
        back = made.view(1, 2, 2, 4, 4, WIDTH).permute(0, 1, 3, 2, 4, 5).reshape(1, 8, 8, WIDTH)
        return x + torch.roll(back, (2, 2), (1, 2))


def _layer_macs(length: int, keys: int) -> int:
    """Projections, scores and sums of attention, and two products."""
    return length * (4 * WIDTH * WIDTH + 2 * keys * WIDTH + 2 * WIDTH * INNER)


PAST = 7
REAL: dict[str, Real] = {
    "encoder": Real(
        make=Encoder,
        inputs=lambda: {
            "input_ids": torch.randint(0, WORDS, (1, LENGTH)),
            "attention_mask": torch.ones(1, LENGTH, dtype=torch.int64),
        },
        macs=_layer_macs(LENGTH, LENGTH) + WIDTH * 3,
        outputs=("logits",),
    ),
    "decoder": Real(
        make=Decoder,
        inputs=lambda: {
            "ids": torch.randint(0, WORDS, (1, 1)),
            **{f"past_{kind}": torch.randn(1, HEADS, PAST, WIDTH // HEADS) for kind in ("key", "value")},
        },
        macs=_layer_macs(1, PAST + 1) + WIDTH * WORDS,
        outputs=("logits", "key", "value"),
    ),
    "lstm": Real(
        make=Stateful,
        inputs=lambda: {"x": torch.randn(1, 9, 6), "h": torch.randn(1, 1, 8), "c": torch.randn(1, 1, 8)},
        macs=9 * (4 * 8 * (6 + 8) + 8 * 2),
        outputs=("y", "hn", "cn"),
    ),
    "detector": Real(
        make=Detector,
        inputs=lambda: {"image": torch.randn(1, 3, 16, 16)},
        macs=64 * (27 * 8 + 8 * 5),
        outputs=("boxes", "scores"),
    ),
    "unet": Real(
        make=UNet,
        inputs=lambda: {"image": torch.randn(1, 3, 16, 16)},
        macs=256 * 27 * 8 + 64 * 72 * 16 + 64 * 16 * 8 * 4 + 256 * 144 * 8 + 256 * 8 * 2,
        outputs=("mask",),
    ),
    "crnn": Real(
        make=Crnn,
        inputs=lambda: {"image": torch.randn(1, 1, 8, 20)},
        macs=160 * 9 * 6 + 10 * 2 * 4 * 8 * (24 + 8) + 10 * 16 * 11,
        outputs=("scores",),
    ),
    "swin": Real(
        make=Swin,
        inputs=lambda: {"x": torch.randn(1, 8, 8, WIDTH)},
        macs=64 * (4 * WIDTH * WIDTH + 2 * 16 * WIDTH),
        outputs=("y",),
    ),
}


def exported(name: str, folder: Path) -> Path:
    """The network as PyTorch's exporter writes it."""
    torch.manual_seed(0)
    real, path = REAL[name], folder / f"{name}.onnx"
    inputs = real.inputs()
    torch.onnx.export(
        real.make().eval(),
        tuple(inputs.values()),
        str(path),
        dynamo=True,
        input_names=list(inputs),
        output_names=list(real.outputs),
        external_data=False,
        verbose=False,
    )
    return path


def with_suppression(path: Path) -> Path:
    """A detector with NonMaxSuppression behind it: the boxes that it keeps, as many as the data say."""
    model = onnx.load(str(path))
    graph = model.graph
    settings = {"most": (TensorProto.INT64, 20), "overlap": (TensorProto.FLOAT, 0.5), "least": (TensorProto.FLOAT, 0.5)}
    for name, (kind, value) in settings.items():
        graph.initializer.append(helper.make_tensor(name, kind, [1], [value]))
    graph.initializer.append(helper.make_tensor("last", TensorProto.INT64, [1], [2]))
    graph.initializer.append(helper.make_tensor("end", TensorProto.INT64, [1], [3]))
    graph.initializer.append(helper.make_tensor("axis", TensorProto.INT64, [1], [1]))
    graph.initializer.append(helper.make_tensor("flat", TensorProto.INT64, [1], [-1]))
    graph.node.extend(
        [
            helper.make_node("NonMaxSuppression", ["boxes", "scores", *settings], ["chosen"]),
            helper.make_node("Slice", ["chosen", "last", "end", "axis"], ["column"]),
            helper.make_node("Reshape", ["column", "flat"], ["rows"]),
            helper.make_node("Gather", ["boxes", "rows"], ["kept"], axis=1),
        ]
    )
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("kept", TensorProto.FLOAT, [1, "n", 4]))
    made = path.with_name("suppressed.onnx")
    onnx.save(model, str(made))
    return made
