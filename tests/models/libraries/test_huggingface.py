"""Folders with a configuration only, as people share them: made here, all the way to a record on ONNX Runtime."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchbox.errors import UsageError
from benchbox.export.exporting import artifact_from_source
from benchbox.models.building import network_from_source
from benchbox.models.sources import resolve
from benchbox.schema.artifact import Drawn
from benchbox.schema.model import InputChoice, Precision

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None, reason="needs transformers: pip install 'benchbox[hf]'"
)
_TEXT = {"vocab_size": 99, "max_position_embeddings": 40}
_HALVES = {
    **_TEXT,
    "d_model": 16,
    **{f"{half}_{name}": value for half in ("encoder", "decoder") for name, value in
       {"layers": 1, "attention_heads": 2, "ffn_dim": 32}.items()},
}  # fmt: skip
_BLOCKS = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
# By model_type: the class, the configuration, and the inputs that it should be fed, without the batch.
NETWORKS: dict[str, tuple[str, dict[str, Any], dict[str, tuple[int, ...]]]] = {
    "bert": (
        "BertForSequenceClassification",
        {**_TEXT, **_BLOCKS},
        {"input_ids": (38,), "attention_mask": (38,)},
    ),
    "gpt2": (
        "GPT2LMHeadModel",
        {"vocab_size": 99, "n_positions": 40, "n_embd": 16, "n_layer": 1, "n_head": 2},
        {"input_ids": (38,), "attention_mask": (38,)},
    ),
    "llama": (
        "LlamaForCausalLM",
        {**_TEXT, **_BLOCKS, "num_key_value_heads": 1},
        {"input_ids": (38,), "attention_mask": (38,)},
    ),
    "bart": (
        "BartForConditionalGeneration",
        _HALVES,
        {"input_ids": (38,), "attention_mask": (38,), "decoder_input_ids": (16,)},
    ),
    "t5": (
        "T5ForConditionalGeneration",
        {"vocab_size": 99, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2},
        {"input_ids": (128,), "attention_mask": (128,), "decoder_input_ids": (16,)},
    ),
    "vit": (
        "ViTForImageClassification",
        {**_BLOCKS, "image_size": 16, "patch_size": 8},
        {"pixel_values": (3, 16, 16)},
    ),
    "whisper": (
        "WhisperForConditionalGeneration",
        {**_HALVES, "max_source_positions": 20, "max_target_positions": 24, "num_mel_bins": 8, "pad_token_id": 0,
         "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 3},
        {"input_features": (8, 40), "decoder_input_ids": (16,)},
    ),
    "wav2vec2": (
        "Wav2Vec2ForCTC",
        {**_BLOCKS, "vocab_size": 9, "conv_dim": [16, 16], "conv_kernel": [10, 3], "conv_stride": [5, 2],
         "num_feat_extract_layers": 2, "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2},
        {"input_values": (16000,)},
    ),
}  # fmt: skip
# Sizes that the configuration leaves open.
OPEN = {
    "bert": {"sequence=38"},
    "gpt2": {"sequence=38"},
    "llama": {"sequence=38"},
    "bart": {"sequence=38", "decoder_sequence=16"},
    "t5": {"sequence=128", "decoder_sequence=16"},
    "whisper": {"decoder_sequence=16"},
    "wav2vec2": {"samples=16000"},
}
SHORT = ("--threads", "1", "--quick", "--trials", "1", "--max-time", "0.05")


def at(**sizes: int) -> InputChoice:
    return InputChoice(named=tuple((name, (size,)) for name, size in sizes.items()))


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def folder(tmp_path: Path, kind: str, **fields: Any) -> Path:
    """A folder with config.json, written as the configuration class of that type writes it."""
    import transformers

    title, sizes, _ = NETWORKS[kind]
    made = transformers.AutoConfig.for_model(kind, **sizes, architectures=[title], **fields)
    made.save_pretrained(tmp_path / f"tiny-{kind}")
    return tmp_path / f"tiny-{kind}"


@pytest.mark.nightly
@pytest.mark.parametrize("kind", NETWORKS)
def test_from_a_configuration_to_a_record(kind: str, tmp_path: Path, benchbox: Callable[..., Any]) -> None:
    place = folder(tmp_path, kind)
    ran = benchbox("run", f"hf:{place}", "--backend", "onnxruntime", "--batch", "2", "--json", *SHORT)
    assert ran.status == 0, ran.err
    (record,) = ran.document["records"]
    assert record["key"]["model"] == f"tiny-{kind}"
    assert record["weights"].startswith("seeded: initialised by transformers")
    assert {fed["name"]: tuple(fed["shape"][1:]) for fed in record["inputs"]} == NETWORKS[kind][2]
    assert {fed["batch_axis"] for fed in record["inputs"]} == {0}
    for fed in record["inputs"]:
        assert not fed["assumed"]
        if fed["name"].endswith("input_ids"):
            assert fed["values"].startswith("rows 0 to 98 of ")
    assert record["correctness"]["passed"]
    assert record["analytic"]["macs"] > 0
    open_sizes = {size for fed in record["inputs"] for size in fed["size"].split(", ") if size}
    assert open_sizes == OPEN.get(kind, set())
    assert ("INPUT_SIZE_ASSUMED" in {flag["code"] for flag in record["flags"]}) == bool(open_sizes)


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("kind", "half", "fed"),
    [
        ("bart", "model.encoder", {"input_ids", "attention_mask"}),
        ("bart", "model.decoder", {"input_ids", "encoder_hidden_states", "encoder_attention_mask"}),
        ("t5", "encoder", {"input_ids", "attention_mask"}),
        ("t5", "decoder", {"input_ids", "encoder_hidden_states", "encoder_attention_mask"}),
        ("whisper", "model.encoder", {"input_features"}),
        ("whisper", "model.decoder", {"input_ids", "encoder_hidden_states"}),
    ],
)
def test_the_halves_of_an_encoder_decoder(
    kind: str, half: str, fed: set[str], tmp_path: Path, benchbox: Callable[..., Any]
) -> None:
    place = folder(tmp_path, kind)
    backends = "onnxruntime,pytorch" if kind == "bart" else "onnxruntime"
    ran = benchbox("run", f"hf:{place}", "--module", half, "--backend", backends, "--json", *SHORT)
    assert ran.status == 0, ran.err
    for record in ran.document["records"]:
        assert record["key"]["model"] == f"tiny-{kind}.{half}"
        assert record["correctness"]["passed"]
        assert {given["name"] for given in record["inputs"]} >= fed
        assert all("what the network gives it" in given["values"] for given in record["inputs"])


@pytest.mark.parametrize("kind", ["llama", pytest.param("gpt2", marks=pytest.mark.nightly)])
@pytest.mark.parametrize("past", [6, pytest.param(0, marks=pytest.mark.nightly)])
def test_a_step_of_a_decoder_continues_its_past(kind: str, past: int, tmp_path: Path) -> None:
    """With the keys and values of the tokens before, a token has the scores that it has behind those tokens."""
    import torch
    import transformers

    place = folder(tmp_path, kind)
    network = network_from_source(resolve(f"hf:{place}", input_shape=None, weights=None, inputs=at(past=past)), seed=0)
    names = [given.name for given in network.inputs]
    assert names == ["input_ids", "past_key_values_0_key", "past_key_values_0_value", "attention_mask"]
    assert [spec.shape[1:] for spec in network.specs()][::3] == [(1,), (past + 1,)]
    torch.manual_seed(0)
    plain = getattr(transformers, NETWORKS[kind][0])(transformers.AutoConfig.from_pretrained(place)).eval()
    plain.load_state_dict(network.module.state_dict())
    ids = torch.randint(99, (2, past + 1))
    with torch.no_grad():
        whole = plain(input_ids=ids, use_cache=True)
        (layer,) = whole.past_key_values.layers
        before = layer.keys[:, :, :past], layer.values[:, :, :past]
        scores, key, value = network.module(ids[:, past:], *before, torch.ones_like(ids))
    torch.testing.assert_close(scores, whole.logits[:, past:])
    torch.testing.assert_close((key, value), (layer.keys, layer.values))


@pytest.mark.nightly
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_step_of_a_decoder_to_a_record(kind: str, tmp_path: Path, benchbox: Callable[..., Any]) -> None:
    place = folder(tmp_path, kind)
    ran = benchbox("run", f"hf:{place}", "--input", "past=6", "--backend", "onnxruntime", "--json", *SHORT)
    assert ran.status == 0, ran.err
    (record,) = ran.document["records"]
    assert record["correctness"]["passed"]
    assert record["key"]["variant"] == "past=6"
    shapes = {fed["name"]: fed["shape"] for fed in record["inputs"]}
    assert shapes["input_ids"] == [1, 1]
    assert shapes["attention_mask"] == [1, 7]
    assert shapes["past_key_values_0_value"][2] == 6


@pytest.mark.parametrize("kind", ["bert", "t5", "vit"])
def test_only_decoders_have_a_past(kind: str, tmp_path: Path) -> None:
    source = resolve(f"hf:{folder(tmp_path, kind)}", input_shape=None, weights=None, inputs=at(past=3))
    with pytest.raises(UsageError, match="keeps no keys and values of past tokens"):
        network_from_source(source, seed=0)


@pytest.mark.nightly
def test_boxes_in_no_order_are_not_fed(tmp_path: Path) -> None:
    """Rows of tables by the widths of boxes: those that are drawn have their right side on the left."""
    import transformers

    made = transformers.AutoConfig.for_model(
        "layoutlm", **_TEXT, **_BLOCKS, max_2d_position_embeddings=32, architectures=["LayoutLMModel"]
    )
    made.save_pretrained(tmp_path / "layout")
    source = resolve(f"hf:{tmp_path / 'layout'}", input_shape=None, weights=None)
    artifact = artifact_from_source(source, precision=Precision.FP32, root=tmp_path)
    fed = {spec.name: spec.values for spec in artifact.inputs}
    assert fed["bbox"].drawn is Drawn.FILE
    assert any("does not run on every row" in warning for warning in artifact.warnings)


def test_tasks_and_sizes(tmp_path: Path) -> None:
    place = folder(tmp_path, "bert")
    source = resolve(f"hf:{place}", input_shape=None, weights=None, inputs=at(sequence=7), task="fill-mask")
    network = network_from_source(source, seed=0)
    assert type(network.module).__name__ == "BertForMaskedLM"
    assert [spec.shape for spec in network.specs()] == [(None, 7), (None, 7)]
    assert not any(given.size for given in network.inputs), "somebody said it"
    with pytest.raises(UsageError, match="no network for the task image-classification") as caught:
        network_from_source(resolve(f"hf:{place}", input_shape=None, weights=None, task="image-classification"), seed=0)
    assert "fill-mask" in caught.value.values


def test_weights_in_the_folder_are_loaded(tmp_path: Path) -> None:
    import torch
    import transformers

    place = folder(tmp_path, "bert")
    torch.manual_seed(5)
    saved = transformers.BertForSequenceClassification(transformers.AutoConfig.from_pretrained(place))
    saved.save_pretrained(place)
    network = network_from_source(resolve(f"hf:{place}", input_shape=None, weights=None), seed=0)
    assert network.weights == str(place)
    assert torch.equal(network.module.classifier.weight, saved.classifier.weight)
    (place / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(Exception, match="cannot be read"):
        network_from_source(resolve(f"hf:{place}", input_shape=None, weights=None), seed=0)


@pytest.mark.parametrize(
    ("text", "status", "words"),
    [
        (None, 2, "it holds no config.json"),
        ("{}", 2, "cannot be used"),
        ("{", 2, "cannot be used"),
        ('{"model_type": "no-such-net"}', 2, "cannot be used"),
    ],
    ids=["empty", "no type", "no JSON", "unknown type"],
)
def test_folders_that_are_no_model(
    text: str | None, status: int, words: str, tmp_path: Path, benchbox: Callable[..., Any]
) -> None:
    (tmp_path / "net").mkdir()
    if text is not None:
        (tmp_path / "net" / "config.json").write_text(text)
    ran = benchbox("flops", f"hf:{tmp_path / 'net'}")
    assert ran.status == status, ran.err
    assert words in ran.err
    assert "Traceback" not in ran.err


def test_what_cannot_be_fetched_is_said(tmp_path: Path, benchbox: Callable[..., Any], monkeypatch: Any) -> None:
    """Offline: the hub is never asked."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    ran = benchbox("flops", "hf:no-such-org/no-such-net")
    assert ran.status == 3, ran.err
    assert "the configuration of no-such-org/no-such-net cannot be fetched" in ran.err
    assert "Traceback" not in ran.err
    assert benchbox("flops", "hf:./absent").status == 2


def test_a_configuration_without_a_class_is_the_base_model(tmp_path: Path) -> None:
    place = folder(tmp_path, "bert")
    document = json.loads((place / "config.json").read_text())
    del document["architectures"]
    (place / "config.json").write_text(json.dumps(document))
    network = network_from_source(resolve(f"hf:{place}", input_shape=None, weights=None), seed=0)
    assert type(network.module).__name__ == "BertModel"
    assert "--task" in network.notes[0]
