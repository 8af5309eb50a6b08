"""Which network does a model reference name: resnet50, path/net.onnx, package.module:factory, hf:ORG/NAME?"""

from __future__ import annotations

import hashlib
import re
import shlex
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchbox.errors import UsageError
from benchbox.models.zoo.zoo import spec, specs
from benchbox.registry import require_known, suggestion
from benchbox.schema.model import USUAL_INPUTS, InputChoice, ModelSource, SourceKind

if TYPE_CHECKING:
    pass

_INPUT = "input"
# Names that tools give every network that they export, and the folders that they put them in.
_SHA256 = re.compile("[0-9a-f]{64}")
_SAYS_NOTHING = re.compile(
    r"(?:(?:en|de)coder(?:_with_past)?_|text_|vision_|audio_)?(?:model|saved_model|inference|best|last)"
    r"(?:[_-](?:fp32|fp16|bf16|u?int8|q4|q4f16|q8|bnb4|quantized|optimi[sz]ed|merged|simplified|sim|O[1-4]))*",
    re.IGNORECASE,
)
_FOLDER_SAYS_NOTHING = re.compile(r"onnx|models?|weights|exports?|exported|checkpoints?|out(?:put)?|\d+", re.IGNORECASE)
# File systems take 255 bytes; precision, recipe and suffix follow in the names of artifacts.
_NAME_BYTES = 160
LIBRARIES = ("hf", "timm", "torchvision")
ENGINE_SUFFIXES = (".plan", ".engine", ".trt")
FORMS = (
    "MODEL is a network of the zoo ('benchbox models'), path/net.onnx, package.module:factory, hf:ORG/NAME, hf:FOLDER, "
    "timm:NAME or torchvision:NAME; for 'run' and 'layers' also an engine, path/net.plan"
)


def resolve(
    reference: str,
    *,
    input_shape: tuple[int, ...] | None,
    weights: str | None,
    inputs: InputChoice = USUAL_INPUTS,
    task: str = "",
    part: str = "",
    engines: bool = False,
) -> ModelSource:
    """The source that a reference names; nothing is loaded or imported yet.

    Args:
        reference: what the user typed.
        input_shape: without the batch; None for the default of the zoo, of an ONNX file or of example inputs.
        weights: path of a state dict, for networks that PyTorch builds.
        inputs: what else the user says of the inputs.
        task: which network of a Hugging Face model is meant.
        part: dotted name of a module of the network, which is measured alone.
        engines: whether an engine (net.plan) will do, in which there is no network to look at.

    Raises:
        UsageError: an unknown name, a missing file; weights or a part of an ONNX file; a task of another network.
    """
    if inputs.samples is not None:
        inputs = replace(inputs, samples_sha256=_sha256_of_samples(inputs.samples))
    if weights is not None and not Path(weights).is_file():
        raise UsageError(
            f"there is no weights file {weights}", remedy="give the path of a .pt, .pth or .safetensors file"
        )
    library = reference.partition(":")[0] if ":" in reference else ""
    if task and library != "hf":
        raise UsageError("--task is for networks of Hugging Face", values=f"got {reference}", remedy="remove --task")
    if reference.endswith(ENGINE_SUFFIXES):
        return _engine_source(reference, input_shape, weights or part, inputs, engines=engines)
    if reference.lower().endswith(".onnx"):
        if part:
            raise UsageError(
                "--module is for networks that PyTorch builds",
                values=f"{reference} holds nodes, not modules",
                remedy="cut the part out: onnx.utils.extract_model(INPUT, OUTPUT, input_names, output_names)",
            )
        return replace(_onnx_source(reference, input_shape, weights), inputs=inputs)
    if library:
        made = _library_source(reference) if library in LIBRARIES else _factory_source(reference)
        source = replace(made, input_shape=input_shape, weights=weights, inputs=inputs, task=task)
    else:
        _refuse_other_file(reference)
        if "," in reference:
            raise UsageError(
                f"unknown model '{reference}'",
                values="several networks are separated by blanks",
                remedy=f"write {' '.join(word for word in re.split('[, ]+', reference) if word)}",
            )
        require_known("model", reference, specs(), remedy=FORMS)
        axes = inputs.batch_axes if part else ()  # a part's inputs have names of their own, the sizes are the network's
        input_shape, inputs = _only_input(reference, input_shape, replace(inputs, batch_axes=()) if part else inputs)
        inputs = replace(inputs, batch_axes=axes) if part else inputs
        shape = input_shape or spec(reference).input_shape
        name = reference if shape == spec(reference).input_shape else f"{reference}-{'x'.join(map(str, shape))}"
        source = ModelSource(
            reference=reference, kind=SourceKind.ZOO, name=name, input_shape=shape, weights=weights, inputs=inputs
        )
    return replace(source, part=part, name=_safe(f"{source.name}.{part}")) if part else source


def _refuse_other_file(reference: str) -> None:
    """Raises UsageError for a path that is there and names no network."""
    if reference in specs() or not reference.strip() or not Path(reference).exists():
        return
    kind = "a folder" if Path(reference).is_dir() else "a file whose name does not end in .onnx"
    raise UsageError(f"{reference} is {kind}", values=suggestion(reference, specs()), remedy=FORMS)


def _only_input(
    reference: str, shape: tuple[int, ...] | None, inputs: InputChoice
) -> tuple[tuple[int, ...] | None, InputChoice]:
    """The shape of the one input of a network that PyTorch builds, which is called "input" and has the batch first."""
    named = dict(inputs.named)
    if shape is not None and _INPUT in named:
        raise UsageError("--input is given twice for the same input", values=f"{reference} has one input, '{_INPUT}'")
    shape = named.pop(_INPUT, shape)
    if named or any(place != (_INPUT, 0) for place in inputs.batch_axes):
        raise UsageError(
            f"{reference} has one input, '{_INPUT}', with the batch first",
            values=f"got {', '.join([*named, *(f'--batch-axis {name}={axis}' for name, axis in inputs.batch_axes)])}",
            remedy="give its shape without the batch: --input 3x224x224",
        )
    if shape is not None and 0 in shape:
        raise UsageError(f"the input of {reference} cannot be empty", values=f"--input {'x'.join(map(str, shape))}")
    return shape, replace(inputs, named=())


def _sha256_of_samples(samples: str) -> str:
    if not Path(samples).is_file():
        raise UsageError(f"there is no file {samples}", remedy="--inputs takes an .npz file with arrays by input name")
    with Path(samples).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def parse_shapes(texts: Sequence[str]) -> tuple[tuple[int, ...] | None, dict[str, tuple[int, ...]]]:
    """The shape of the first input, and shapes of further inputs or sizes of named dimensions by name.

    "3x224x224" is the first input's, "mask=128" that of input mask or the size of dimension mask.

    Raises:
        UsageError: a text that is neither, or two shapes for the same.
    """
    shape: tuple[int, ...] | None = None
    named: dict[str, tuple[int, ...]] = {}
    for text in texts:
        name, equals, sizes = text.rpartition("=")
        if name in named or (not equals and shape is not None):
            raise UsageError("--input is given twice for the same input", values=", ".join(texts))
        if equals:
            named[name] = parse_shape(sizes)
        else:
            shape = parse_shape(sizes)
    return shape, named


def parse_axes(texts: Sequence[str]) -> tuple[tuple[str, int], ...]:
    """(("state", 1),) from ["state=1"]; raises UsageError for another text, and for the same input twice."""
    found: dict[str, int] = {}
    for text in texts:
        name, _, axis = text.rpartition("=")
        if not name or not (axis.isascii() and axis.isdigit()):
            raise UsageError(
                "--batch-axis takes NAME=AXIS", values=f"got '{text}'", remedy="for example --batch-axis state=1"
            )
        if name in found:
            raise UsageError("--batch-axis is given twice for the same input", values=", ".join(texts))
        found[name] = int(axis)
    return tuple(sorted(found.items()))


def parse_shape(text: str) -> tuple[int, ...]:
    """(3, 224, 224) from "3x224x224"; raises UsageError for anything but whole numbers."""
    parts = text.lower().split("x")
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise UsageError(
            "--input takes sizes joined by x, without the batch",
            values=f"got '{text}'",
            remedy="for example --input 3x224x224",
        )
    return tuple(int(part) for part in parts)


def _onnx_source(reference: str, input_shape: tuple[int, ...] | None, weights: str | None) -> ModelSource:
    if not Path(reference).is_file():
        raise UsageError(f"there is no ONNX file {reference}", remedy=FORMS)
    if weights is not None:
        raise UsageError("--weights is for networks that PyTorch builds", values=f"{reference} holds its own weights")
    return ModelSource(
        reference=reference, kind=SourceKind.ONNX, name=name_of_file(Path(reference)), input_shape=input_shape
    )


def _engine_source(
    reference: str, input_shape: tuple[int, ...] | None, other: str | None, inputs: InputChoice, *, engines: bool
) -> ModelSource:
    path = Path(reference)
    if not engines:
        raise UsageError(
            "an engine can only be run and profiled: there is no network in it to look at",
            values=reference,
            remedy=f"benchbox run {shlex.quote(reference)} --backend tensorrt, or name its ONNX file",
        )
    if not path.is_file():
        raise UsageError(f"there is no engine {reference}", remedy=FORMS)
    if other is not None and other != "":
        raise UsageError(
            "--weights and --module are for networks that PyTorch builds", values=f"{reference} is an engine"
        )
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return ModelSource(
        reference=reference,
        kind=SourceKind.ENGINE,
        name=name_of_file(path),
        input_shape=input_shape,
        inputs=inputs,
        digest=digest,
    )


def _factory_source(reference: str) -> ModelSource:
    module, _, factory = reference.partition(":")
    if not re.fullmatch(r"[A-Za-z_][\w.]*", module) or not factory.isidentifier():
        raise UsageError(f"'{reference}' is not package.module:factory", remedy=FORMS)
    name = _safe(f"{module.rpartition('.')[2]}.{factory}")
    return ModelSource(reference=reference, kind=SourceKind.FACTORY, name=name, input_shape=None)


def _library_source(reference: str) -> ModelSource:
    library, _, name = reference.partition(":")
    if not name.strip():
        raise UsageError(f"'{reference}' names no network", remedy=FORMS)
    title = f"{library}-{name}" if library != "hf" else Path(name).resolve().name if Path(name).is_dir() else name
    return ModelSource(reference=reference, kind=SourceKind.LIBRARY, name=_safe(title), input_shape=None)


def name_of_file(path: Path) -> str:
    """What the network in a file is called: by the file, and by its folder too where the file's own name says nothing.

    bert/model.onnx and gpt/onnx/model_quantized.onnx are "bert-model" and "gpt-model_quantized"; a file called by its
    sha256, as copies of networks are kept, is "network-" and its first digits.
    """
    stem = path.stem
    if _SHA256.fullmatch(stem):
        return f"network-{stem[:12]}"
    if not _SAYS_NOTHING.fullmatch(stem):
        return _safe(stem)
    folders = [folder.name for folder in path.resolve().parents if folder.name]
    telling = next((name for name in folders if not _FOLDER_SAYS_NOTHING.fullmatch(name)), "")
    return _safe(f"{telling}-{stem}")


def _safe(name: str) -> str:
    """The name without what file names cannot hold, or shells and paths read as something else.

    Letters of every script stay. One that is longer than file systems take is cut, and ends with a hash of the rest.
    """
    safe = re.sub(r"[^\w.-]+", "-", unicodedata.normalize("NFC", name)).strip("-.")
    if len(data := safe.encode()) > _NAME_BYTES:
        end = hashlib.sha256(data).hexdigest()[:8]
        safe = f"{data[: _NAME_BYTES - 9].decode(errors='ignore')}-{end}"
    return safe or f"model-{hashlib.sha256(name.encode(errors='surrogateescape')).hexdigest()[:8]}"
