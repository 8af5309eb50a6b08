"""What goes into an engine that somebody else built, and what comes out of it?

Only loading tells, with the version and on the kind of GPU that it was built for; so this runs in a process of its own.
Sizes that its profile leaves open are those that it is tuned for, but that of the batch.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchbox.backends.cuda.choice import open_layer
from benchbox.backends.tensorrt.journal import errors_in, journal
from benchbox.backends.tensorrt.plugins import register_plugins
from benchbox.backends.tensorrt.validity import verdict_on
from benchbox.backends.tensorrt.vendor import Bindings, Vendor, loaded
from benchbox.errors import ArtifactError, UsageError
from benchbox.schema.artifact import TensorSpec
from benchbox.schema.engine import EngineBorder

_DTYPES = {
    "FLOAT": "float32",
    "HALF": "float16",
    "BF16": "bfloat16",
    "FP8": "float8_e4m3fn",
    "INT8": "int8",
    "UINT8": "uint8",
    "INT32": "int32",
    "INT64": "int64",
    "BOOL": "bool",
}
_FREE = -1
_REMEDY = (
    "an engine runs with the version and on the kind of GPU that it was built for: build it here from its ONNX file, "
    "'benchbox build net.onnx', or run it where it belongs"
)


def border_of_engine(vendor: Vendor, path: Path) -> EngineBorder:
    """Inputs and outputs of an engine; for ``in_child``: it makes a CUDA context.

    Raises:
        ArtifactError: the file is no engine, or one of another version or another GPU.
        UsageError: it has an input or output that cannot be fed.
        EnvironmentLackError: the runtime or a GPU is missing.
    """
    bindings = loaded(vendor)
    content = path.read_bytes()
    with ExitStack() as closing:
        layer = open_layer()
        closing.callback(layer.close)
        gpu = layer.gpu()
        verdict = verdict_on(bindings, content)
        log, lines = journal(bindings.api, info=False)
        reasons = (*verdict.of_the_file, *verdict.of_the_machine)
        engine = None
        if not reasons:
            register_plugins(bindings, log)
            runtime = bindings.api.Runtime(log)
            engine = runtime.deserialize_cuda_engine(content)
            reasons = errors_in(lines)
        if engine is None:
            raise ArtifactError(
                f"{bindings.vendor.title} {bindings.version} does not load {path.name} on {gpu}",
                values="\n".join(reasons) or "it gives no reason",
                remedy=_REMEDY,
            )
        inputs, outputs = _specs(bindings, engine)
        del engine, runtime
    return EngineBorder(
        backend=vendor.name, version=bindings.version, device=str(gpu), inputs=tuple(inputs), outputs=tuple(outputs)
    )


def _specs(bindings: Bindings, engine: Any) -> tuple[list[TensorSpec], list[TensorSpec]]:
    api = bindings.api
    config = engine.create_runtime_config()
    config.set_execution_context_allocation_strategy(api.ExecutionContextAllocationStrategy.USER_MANAGED)
    context = engine.create_execution_context(config)
    if context is None:
        raise ArtifactError("no execution context can be made of the engine", remedy=_REMEDY)
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    ins = [name for name in names if engine.get_tensor_mode(name) == api.TensorIOMode.INPUT]
    for name in ins:
        if engine.get_tensor_location(name) != api.TensorLocation.DEVICE:
            raise UsageError(
                f"{bindings.vendor.title} reads {name} on the host: it says what shape something has",
                remedy="build the engine with that shape as a constant",
            )
        if _FREE in tuple(engine.get_tensor_shape(name)):
            context.set_input_shape(name, tuple(engine.get_tensor_profile_shape(name, 0)[1]))
    specs = {name: _spec(engine, context, name) for name in names}
    del context
    return [specs[name] for name in ins], [specs[name] for name in names if name not in ins]


def _spec(engine: Any, context: Any, name: str) -> TensorSpec:
    declared = tuple(engine.get_tensor_shape(name))
    settled = [size if size >= 0 else None for size in context.get_tensor_shape(name)]
    kind = engine.get_tensor_dtype(name).name
    if kind not in _DTYPES:
        raise UsageError(
            f"{name} of the engine is of type {kind}, which no array holds",
            values=f"known are {', '.join(_DTYPES)}",
            remedy="build it with inputs and outputs of another type",
        )
    # The batch is the first axis, which every engine of benchbox and of the usual exporters has.
    if settled and declared[0] == _FREE:
        settled[0] = None
    return TensorSpec(name=name, dtype=_DTYPES[kind], shape=tuple(settled), batch_axis=0 if settled else None)
