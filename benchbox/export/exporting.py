"""How does a model reference become a checked ONNX file with everything that is known about it?

One canonical fp32 file per network; every other precision is derived from it. A file is kept only after its outputs
were compared with the expected outputs for seeded samples at several batch sizes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchbox.errors import ArtifactError, BenchboxError, NumericsError, SizesError, UsageError
from benchbox.export.check_set import CheckSet, check_batches
from benchbox.export.expecting import judged_at_some_batch, with_real_samples
from benchbox.export.feeds import sample_shapes_in
from benchbox.export.foreign import graph_from_file, sizes_of_source
from benchbox.export.judging import reason_of
from benchbox.export.large import PROTOBUF_LIMIT, require_convertible
from benchbox.export.module.canonical import canonicalise
from benchbox.export.module.checking import expected_of, fed_inputs_of
from benchbox.export.module.tracing import Traced, traced
from benchbox.export.opsets import OPSET, opset_of, with_node_names
from benchbox.export.own_outputs import own_outputs
from benchbox.export.precision.contents import precision_from_file
from benchbox.export.precision.deriving import (
    CALIBRATED,
    DERIVING,
    calibration_of,
    derived_from_float,
    ingredients_of,
    require_consistent,
    require_nothing_to_derive,
)
from benchbox.export.precision.fourbit import require_converter
from benchbox.export.precision.request import DerivingRequest
from benchbox.export.precision.samples import CalibrationData
from benchbox.export.randomness import random_nodes, randomness_in_words
from benchbox.export.ranges import bounded_outputs, ranked_outputs
from benchbox.export.reuse import Cache, recipe_of
from benchbox.export.verification import (
    Evaluated,
    outputs_from_onnx,
    require_finite,
    require_passed,
)
from benchbox.graph.external import whole_model
from benchbox.graph.stored import WHOLE, with_dense_weights
from benchbox.graph.structure import with_functions_in_place
from benchbox.models.asked import asked_in_words
from benchbox.progress import Say
from benchbox.schema.artifact import BatchRange, OnnxArtifact
from benchbox.schema.derivation import USUAL, Derivation
from benchbox.schema.model import ModelSource, Precision, SourceKind
from benchbox.stats.agreement import TOLERANCES, hop_from_outputs
from benchbox.stats.batches import empty_outputs
from benchbox.store.artifact_files import artifact_paths, sha256_of, unwritable, write_artifact
from benchbox.store.atomic import draft_of
from benchbox.store.external import external_sha256

if TYPE_CHECKING:
    import onnx

    from benchbox.models.building import Network

PRECISIONS = (Precision.FP64, Precision.FP32, *DERIVING)


def artifact_from_source(
    source: ModelSource,
    *,
    precision: Precision,
    root: Path,
    batch: BatchRange | None = None,
    seed: int = 0,
    derivation: Derivation = USUAL,
    say: Say = lambda _: None,
    making: Callable[[], object] = lambda: None,
) -> OnnxArtifact:
    """The checked ONNX file of a source: from the cache, or made and written under ``root/engines/onnx``.

    Args:
        source: what to export.
        precision: fp32, or one that is derived from it.
        root: project root.
        batch: batch sizes that it must be right for; any by default.
        seed: of weights, check inputs and synthetic calibration inputs.
        derivation: what a derived precision leaves out and is calibrated on.
        say: receives what is being done, one line at a time.
        making: is called before anything is made, if the cache does not have it.

    Raises:
        ArtifactError: the network cannot be exported, or the outputs are beyond tolerance; nothing is left then.
        StoreError: engines/ is unwritable; nothing is left either.
        UsageError: a precision that is not supported, or one that the ONNX file is not in.
    """
    _require_supported(source.reference, precision, derivation)
    cache = Cache(recipe=recipe_of(source, seed=seed), root=root, batch=batch, say=say)
    found = cache.look_up(precision, derivation)
    if found.artifact is not None:
        return found.artifact
    if precision is Precision.FP64 and source.kind is not SourceKind.ONNX:
        raise _in_another(source, Precision.FP32, precision)
    making()
    if source.kind is SourceKind.ONNX and precision is not Precision.FP32:
        _require_convertible_source(source, precision)
    original = found.original
    if original is None:
        original = (
            _original_from_file(cache, say) if source.kind is SourceKind.ONNX else _original_from_module(cache, say)
        )
    if precision is original.precision:
        require_nothing_to_derive(original, derivation)
        return original
    if original.precision is not Precision.FP32 or precision not in DERIVING:
        raise _in_another(source, original.precision, precision)
    data = found.data or calibration_of(
        source, precision=precision, derivation=derivation, inputs=original.inputs, seed=seed
    )
    return _derived_from_original(cache, original, precision, derivation, data, say)


def _in_another(source: ModelSource, own: Precision, precision: Precision) -> UsageError:
    return UsageError(
        f"{source.reference} is in {own}, not in {precision}",
        values="the precision of a network is in its graph"
        + ("; nothing is converted to fp64" if precision is Precision.FP64 else ""),
        remedy=f"ask for --precision {own}",
    )


def _require_supported(model: str, precision: Precision, derivation: Derivation) -> None:
    if precision not in PRECISIONS:
        raise UsageError(f"there are no ONNX files in {precision}", values=f"supported: {', '.join(PRECISIONS)}")
    require_consistent(precision, derivation)
    require_converter(model, precision, derivation)


def _require_convertible_source(source: ModelSource, precision: Precision) -> None:
    """Before minutes go into judging a file: raises what ``require_convertible`` does, for one to be converted."""
    path = Path(source.reference)
    if precision_from_file(path) is Precision.FP32:
        require_convertible(path, model=source.name, precision=precision)


def _original_from_module(cache: Cache, say: Say) -> OnnxArtifact:
    """The file of a network from PyTorch; of one batch size where its graph is right for that of its example only."""
    from benchbox.models.building import network_from_source
    from benchbox.models.sixteen_bits import short_weights_in_words

    source, seed = cache.recipe.source, cache.recipe.seed
    say("building the network")
    warnings: list[str] = []
    shapes = sample_shapes_in(Path(source.inputs.samples)) if source.inputs.samples else {}
    network = network_from_source(source, seed=seed, shapes=shapes, say=warnings.append)
    short = short_weights_in_words(network.module)
    try:
        return _exported(network, cache, warnings, say)
    except (ArtifactError, NumericsError) as error:
        if short:
            _require_wide(short, error)
        size = network.example_batch
        if network.fixed_batch is not None or size is None or (cache.batch or BatchRange()) != BatchRange():
            raise
        failure = error
    reason = f"its graph is right for a batch of {size} only: {failure.what}"
    fixed = replace(network.at_batch(size), notes=(*network.notes, reason))
    try:
        return _exported(fixed, cache, warnings, say)
    except BenchboxError:
        raise failure from failure.__cause__


def _require_wide(short: str, error: BenchboxError) -> None:
    """Raises the cause of outputs that are beyond the tolerance of fp32: that they are not computed in fp32."""
    if isinstance(error, NumericsError):
        raise NumericsError(
            error.what,
            values=f"{error.values}; {short}, and its forward casts to them",
            remedy="return it in fp32 and without casts: --precision fp16 or bf16 makes them; or export it yourself "
            "and bring the ONNX file, which is measured as it is",
            hops=error.hops,
        ) from error


def _exported(network: Network, cache: Cache, warnings: Sequence[str], say: Say) -> OnnxArtifact:
    """The artifact of a network, whose outputs end with the longest of its packed sequences where they must."""
    from benchbox.export.module.packing import FULL

    name = cache.recipe.source.name
    say("exporting to ONNX")
    made = traced(network, name=name)
    try:
        return _compared(made, cache, warnings, say)
    except ArtifactError as error:
        if made.refusal is not None:
            raise _not_as_traced(made.refusal, error) from error
        if not isinstance(error, NumericsError) or FULL not in made.network.notes:
            raise
        failure = error
    say("exporting again: the outputs end with the longest sequence of a batch")
    try:
        return _compared(traced(network, name=name, cut=True), cache, warnings, say)
    except ArtifactError as error:
        raise NumericsError(
            f"{name} cannot be exported with its sequences",
            values=f"{FULL}; {failure.values}; and as long as the longest of them: {error.values}",
            remedy="say the length in its code: pad_packed_sequence(..., total_length=x.shape[1]), or shape[0] where "
            "the batch is not first; or give example inputs whose first sequence is the longest, and fills them",
            hops=failure.hops,
        ) from error


def _not_as_traced(refusal: ArtifactError, error: BenchboxError) -> ArtifactError:
    """Why a network has no graph that was traced for want of another, and whose outputs are not the network's."""
    return ArtifactError(
        refusal.what,
        values=f"{refusal.values}; the graph that TorchScript traces instead is not right either: {error.what}",
        remedy=refusal.remedy,
    )


def _compared(made: Traced, cache: Cache, warnings: Sequence[str], say: Say) -> OnnxArtifact:
    """The artifact of a module's graph, once its outputs are those of PyTorch."""
    import torch

    source, seed = cache.recipe.source, cache.recipe.seed
    sizes = cache.batch or BatchRange()
    proto, network = made.proto, made.network
    canonicalise(proto, network.module, name=source.name)
    warnings = [*warnings, *network.notes]
    for warning in warnings:
        say(warning)
        say(warning)
    say("checking outputs against PyTorch")
    is_part = bool(source.part) and not source.inputs.samples
    inputs = fed_inputs_of(network, proto, root=cache.root, is_part=is_part)
    inputs = with_real_samples(inputs, source)
    expected = expected_of(network, proto, inputs, sizes=sizes, seed=seed, root=cache.root)
    require_passed(expected.hops, model=source.name, randomness=randomness_in_words(random_nodes(proto)))
    recipe = cache.recipe.digest(Precision.FP32)
    paths = artifact_paths(model=source.name, precision=Precision.FP32, recipe=recipe)
    unchecked = OnnxArtifact(
        model=source.name,
        source=source.reference,
        precision=Precision.FP32,
        opset=OPSET,
        path=paths.onnx,
        sha256="",
        size_bytes=0,
        params=sum(parameter.numel() for parameter in network.module.parameters()),
        batch=sizes if network.fixed_batch is None else _fixed_range(network.fixed_batch),
        inputs=expected.check.inputs,
        outputs=expected.check.outputs,
        exporter=f"torch {torch.__version__}, {made.exporter}",
        evaluator="",
        expected_by=f"pytorch {torch.__version__}",
        expected_path=paths.expected,
        outputs_path=paths.outputs,
        expected_samples=expected.check.samples,
        seed=seed,
        recipe=recipe,
        hops=expected.hops,
        weights=str(Path(source.weights).resolve()) if source.weights else None,
        warnings=(*warnings, *expected.warnings),
        empty=empty_outputs(expected.outputs, [spec.name for spec in expected.check.outputs]),
        bounded=bounded_outputs(proto),
        ranked=ranked_outputs(proto),
        choice=source.inputs,
        asked_shape=source.input_shape,
        weights_from=network.weights,
        task=source.task,
        part=source.part,
    )
    return _checked(unchecked, _bytes(proto), "pytorch-fp32", expected.check, expected.outputs, expected.outputs, cache)


def _flat(path: Path) -> onnx.ModelProto:
    """The graph of a file, its local functions put in place."""
    return with_functions_in_place(whole_model(path))


def _derived_from_original(
    cache: Cache,
    original: OnnxArtifact,
    precision: Precision,
    derivation: Derivation,
    data: CalibrationData | None,
    say: Say,
) -> OnnxArtifact:
    root = cache.root
    if original.expected_path is None:
        raise ArtifactError(
            f"{original.model} cannot be converted to {precision}: its outputs cannot be checked",
            values=original.unchecked,
            remedy=f"measure it in {original.precision}, or convert it where it can run",
        )
    require_convertible(root / original.path, model=original.model, precision=precision)
    request = DerivingRequest(
        proto=with_dense_weights(with_node_names(_flat(root / original.path)), most=WHOLE),
        precision=precision,
        derivation=derivation,
        inputs=original.inputs,
        data=data,
    )
    derived = derived_from_float(request, say=say)
    recipe = cache.recipe.digest(precision, ingredients_of(derivation, data))
    paths = artifact_paths(model=original.model, precision=precision, recipe=recipe)
    unchecked = replace(
        original,
        precision=precision,
        opset=opset_of(derived.proto),
        path=paths.onnx,
        expected_path=paths.expected,
        outputs_path=paths.outputs,
        recipe=recipe,
        weights_sha256=None,  # a derived file holds all its weights
        warnings=(*original.warnings, *derived.warnings),
        variant=derivation.variant,
        quantization=derived.quantization,
    )
    with np.load(root / original.expected_path) as stored:
        expected = {name: stored[name] for name in stored.files}
    check = CheckSet(
        inputs=original.inputs,
        outputs=original.outputs,
        batches=check_batches(original.batch, original.fixed_batch),
        seed=original.seed,
    )
    say("checking outputs against the fp32 graph")
    exact = outputs_from_onnx(root / original.path, check, precision=Precision.FP32).outputs
    return _checked(unchecked, _bytes(derived.proto), "onnx-fp32", check, exact, expected, cache)


def _original_from_file(cache: Cache, say: Say) -> OnnxArtifact:
    """The artifact of a user's own file, which stays where it is: only its outputs and the card are written."""
    source, seed = cache.recipe.source, cache.recipe.seed
    path = Path(source.reference).absolute()  # external data lie beside a link, not beside what it points to
    graph = graph_from_file(path, sizes=sizes_of_source(source))
    precision, rest = graph.contents.precision, graph.contents.rest
    if (cached := cache.find(precision)) is not None:
        return cached
    say("computing expected outputs")
    graph, check, judged, warnings = judged_at_some_batch(path, graph, cache)
    for warning in warnings[len(graph.contents.warnings) :]:
        say(warning)
    flat = with_functions_in_place(graph.proto)
    bounded, ranked = bounded_outputs(flat), ranked_outputs(flat)
    own = own_outputs(
        path,
        check,
        judged,
        precision=precision,
        rest=rest,
        bounded=bounded,
        ranked=ranked,
        randomness=randomness_in_words(random_nodes(graph.proto)),
    )
    made = own.made
    recipe = cache.recipe.digest(precision)
    paths = artifact_paths(model=source.name, precision=precision, recipe=recipe)
    artifact = OnnxArtifact(
        model=source.name,
        source=str(path),
        precision=precision,
        opset=graph.opset,
        path=str(path),
        sha256=sha256_of(path),
        size_bytes=path.stat().st_size,
        params=None,  # the cost model counts them on the graph
        batch=(cache.batch or BatchRange()) if graph.fixed_batch is None else _fixed_range(graph.fixed_batch),
        inputs=check.inputs,
        outputs=check.outputs,
        exporter=f"{graph.proto.producer_name} {graph.proto.producer_version}".strip(),
        evaluator=made.evaluator if made else "",
        expected_by=judged.by,
        expected_path=paths.expected if judged.outputs is not None else None,
        outputs_path=paths.outputs if made else None,
        expected_samples=check.samples,
        seed=seed,
        recipe=recipe,
        hops=own.hops,
        warnings=(*warnings, *own.warnings),
        choice=source.inputs,
        asked_shape=source.input_shape,
        rest=rest if precision in CALIBRATED else Precision.FP32,
        unchecked=own.doubt,
        empty=empty_outputs(judged.outputs, [spec.name for spec in check.outputs]) if judged.outputs else (),
        bounded=bounded,
        ranked=ranked,
        weights_sha256=external_sha256(path),
        weights_from="of the file",
    )
    write_artifact(artifact, cache.root, expected=judged.outputs, outputs=made.outputs if made else None)
    return artifact


def _checked(
    unchecked: OnnxArtifact,
    data: bytes,
    hop_source: str,
    check: CheckSet,
    compared: Mapping[str, np.ndarray],
    expected: Mapping[str, np.ndarray],
    cache: Cache,
) -> OnnxArtifact:
    """Writes the file, compares its outputs with ``compared``, and keeps it only if they agree."""
    root, reference = cache.root, cache.recipe.source.reference
    check = replace(check, outputs=unchecked.outputs)
    try:
        with draft_of(root / unchecked.path) as draft:
            draft.write_bytes(data)
            made = _run(draft, check, unchecked)
            tolerance = TOLERANCES[unchecked.precision]
            hop = hop_from_outputs(
                hop_source,
                made.form,
                compared,
                made.outputs,
                tolerance,
                bounded=unchecked.bounded,
                ranked=unchecked.ranked,
            )
            hops = (*unchecked.hops, hop)
            if unchecked.precision is not Precision.FP32:
                require_finite(
                    made.outputs,
                    compared,
                    model=reference,
                    asked=asked_in_words(cache.recipe.source),
                    precision=unchecked.precision,
                    hops=hops,
                )
            require_passed(hops, model=unchecked.model, randomness=unchecked.unchecked)
    except OSError as error:
        raise unwritable(root / unchecked.path, error) from error
    artifact = replace(
        unchecked,
        sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
        evaluator=made.evaluator,
        hops=hops,
    )
    write_artifact(artifact, root, expected=expected, outputs=made.outputs)
    cache.note(unchecked.recipe)
    return artifact


def _run(draft: Path, check: CheckSet, unchecked: OnnxArtifact) -> Evaluated:
    try:
        return outputs_from_onnx(draft, check, precision=unchecked.precision, fallback=unchecked.fallback)
    except (BenchboxError, OSError):
        raise
    except Exception as error:  # ONNX Runtime's errors share no public base class
        raise SizesError(
            f"the {unchecked.precision} graph of {unchecked.model} does not run",
            values=reason_of(error),
            remedy="check the shapes of its inputs (--input); a part of it may take one size only",
        ) from error


def _fixed_range(size: int) -> BatchRange:
    return BatchRange(minimum=size, optimum=size, maximum=size)


def _bytes(proto: onnx.ModelProto) -> bytes:
    size = proto.ByteSize()
    if size > PROTOBUF_LIMIT:
        raise ArtifactError(
            "the network is too large for one ONNX file",
            values=f"{size} bytes, the format holds {PROTOBUF_LIMIT}",
            remedy="networks over 2 GB are not supported yet",
        )
    data: bytes = proto.SerializeToString(deterministic=True)
    return data
