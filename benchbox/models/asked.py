"""Which words on the command line ask for a network, as a message prints them and they can be typed back?"""

from __future__ import annotations

import shlex

from benchbox.models.zoo.zoo import specs
from benchbox.schema.artifact import OnnxArtifact
from benchbox.schema.model import ModelSource, SourceKind


def asked_in_words(source: ModelSource) -> str:
    """MODEL and the options that chose the network, its inputs and its weights, quoted for a shell."""
    choice = source.inputs
    words = [source.reference]
    words += ["--weights", source.weights] if source.weights else []
    words += ["--task", source.task] if source.task else []
    words += ["--module", source.part] if source.part else []
    own = specs()[source.reference].input_shape if source.kind is SourceKind.ZOO else None
    words += ["--input", _text(source.input_shape)] if source.input_shape and source.input_shape != own else []
    for name, shape in choice.named:
        words += ["--input", f"{name}={_text(shape)}"]
    for name, axis in choice.batch_axes:
        words += ["--batch-axis", f"{name}={axis}"]
    words += ["--inputs", choice.samples] if choice.samples else []
    return shlex.join(words)


def words_of_artifact(artifact: OnnxArtifact) -> list[str]:
    """MODEL and the options that are not in the variant of a record: of other networks than the zoo's the input is."""
    words = [artifact.source, *(["--weights", artifact.weights] if artifact.weights else [])]
    words += ["--module", artifact.part] if artifact.part else []
    shape = artifact.asked_shape
    if artifact.source in specs() and shape not in (None, specs()[artifact.source].input_shape):
        words += ["--input", _text(shape or ())]
    return words


def _text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
