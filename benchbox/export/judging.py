"""Who says what an ONNX file from elsewhere should give, and who if that judge cannot run it?

ONNX Runtime on the CPU, every node as the file has it and on one thread, judges; where it cannot run the file, onnx's
reference evaluator does, on the graph raised to a newer opset, since it computes older forms of some operators as their
newest. Products of bytes are judged in fp32: a processor may saturate where it adds them up. Where neither can, nobody
judges: the network can be measured, and what is measured is flagged as unchecked.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchbox.backends.base import BACKENDS, OpenRequest
from benchbox.backends.once import EVALUATOR, evaluate_graph, opened_session
from benchbox.backends.probing import probe_of
from benchbox.errors import BenchboxError, SizesError, one_line
from benchbox.export.exact_products import has_products, with_exact_products
from benchbox.export.opsets import APART_IR, OPSET, opset_of
from benchbox.graph.external import whole_model
from benchbox.graph.skimming import structure_bytes
from benchbox.schema.artifact import Drawn, TensorSpec
from benchbox.schema.model import Precision
from benchbox.stats.agreement import TOLERANCES, hop_from_outputs
from benchbox.stats.inputs import fed_in_words
from benchbox.temporary import temporary_folder

if TYPE_CHECKING:
    import numpy as np
    import onnx

    from benchbox.export.check_set import CheckSet

# What the judges are called in hops.
UNOPTIMISED, REFERENCE = "onnx-unoptimised", "onnx-reference"
_REASON_CHARACTERS = 300
# Where in its own source a runtime noticed: of no use to whoever brings a file.
_WHERE_IN_C = re.compile(
    r"\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : |\S+\.(?:h|cc|cpp):\d+ \S+(?:\(.*?\))?(?: \[.*?\])?(?: .*? was false\.)? ?"
)
_ASSUMED = "assumed"


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What a file should give for a check set, by whom, and the judge's name in hops.

    ``outputs`` are None where nobody can run it; ``refusals`` says why for each judge that cannot. ``failed`` where the
    runtime has all that the file needs, and still fails on these inputs: another judge may be less strict.
    """

    outputs: dict[str, np.ndarray] | None
    by: str = ""
    form: str = ""
    refusals: tuple[str, ...] = ()
    failed: bool = False


def judged_outputs(path: Path, check: CheckSet) -> Judged:
    """The outputs that a file should give for the samples of a check set, by the first judge that can run it.

    Raises ArtifactError for a network that fails while it runs, on these inputs.
    """
    import onnx

    refusals: list[str] = []
    failure: Exception | None = None
    state = probe_of(BACKENDS.get(EVALUATOR))
    if state.usable:
        exact = ", 8-bit products in fp32" if _has_products(path) else ""
        by = f"onnxruntime {state.version} (CPU, no graph optimisations, 1 thread{exact})"
        try:
            made = _unoptimised(path, check, check.feeds())
            return Judged(outputs=check.together(made), by=by, form=UNOPTIMISED)
        except BenchboxError as error:
            refusals.append(f"ONNX Runtime {state.version}: {reason_of(error)}")
        except Exception as error:  # ONNX Runtime's errors share no public base class
            failure = None if is_lack(error) else error
            refusals.append(f"ONNX Runtime {state.version}: {reason_of(error)}")
    else:
        refusals.append(f"ONNX Runtime: {state.reason}")
    if failure is not None and _assumed(check.inputs):
        raise does_not_run(path, refusals[-1], check.inputs) from failure
    try:
        outputs = evaluator_outputs(path, check)
    except Exception as error:  # operators of the evaluator raise whatever numpy raises
        if failure is not None:  # a runtime has every operator, and still the network does not run on these inputs
            raise does_not_run(path, refusals[-1], check.inputs) from failure
        return Judged(outputs=None, refusals=(*refusals, f"onnx.reference {onnx.__version__}: {reason_of(error)}"))
    by = f"onnx.reference {onnx.__version__}"
    return Judged(outputs=outputs, by=by, form=REFERENCE, refusals=tuple(refusals), failed=failure is not None)


def is_lack(error: Exception) -> bool:
    """Whether a runtime says that it does not have what a node asks for: then no other inputs help."""
    return "not supported" in str(error)


def mixes_samples(
    path: Path, check: CheckSet, judged: Judged, expected: Mapping[str, np.ndarray], precision: Precision
) -> bool:
    """Whether a sample's outputs depend on the others of its batch, by the judge of the file; False where it fails."""

    def evaluate(feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        if judged.form == UNOPTIMISED:
            return _unoptimised(path, check, [feed])[0]
        return _evaluated(path, check, [feed])[0]

    try:
        return check.mixes_samples(evaluate, expected, TOLERANCES[precision])
    except Exception:  # the graph runs at other batch sizes only: nothing is known
        return False


def is_steady(path: Path, check: CheckSet) -> bool:
    """Whether equal inputs give equal outputs, run after run in one session; True where ONNX Runtime cannot say."""
    feed = next(check.feeds())
    try:
        first, second = _unoptimised(path, check, [feed, feed])
    except Exception:  # as above
        return True
    return hop_from_outputs("first", "second", first, second, TOLERANCES[Precision.FP32]).passed


def _unoptimised(path: Path, check: CheckSet, feeds: Iterable[Mapping[str, np.ndarray]]) -> list[dict[str, np.ndarray]]:
    open_sizes = [TensorSpec(name=spec.name, dtype="", shape=(None,)) for spec in check.outputs]
    with _with_exact_products(path) as form:
        made = evaluate_graph(
            form, feeds, inputs=check.inputs, outputs=open_sizes, precision=Precision.FP32, unoptimised=True
        )
        return list(made)


def _has_products(path: Path) -> bool:
    import onnx

    return has_products(onnx.ModelProto.FromString(structure_bytes(path)).graph)


@contextlib.contextmanager
def _with_exact_products(path: Path) -> Iterator[Path]:
    """The file, its eight-bit products written as what they mean where it has any."""
    made = with_exact_products(whole_model(path)) if _has_products(path) else None
    if made is None:
        yield path
        return
    with temporary_folder("benchbox-judge-") as folder:
        written = folder / "exact.onnx"
        written.write_bytes(made.SerializeToString())
        yield written


def does_not_run(path: Path, reason: str, inputs: Iterable[TensorSpec]) -> SizesError:
    """The error for a file that fails while it runs; what was assumed of its inputs may be the cause, and is said."""
    specs = tuple(inputs)
    assumed = _assumed(specs)
    fed = f"fed {', '.join(map(_size_in_words, specs))}"
    sizes = "give the sizes that it was made for (--batch N, --input NAME=SHAPE)"
    if any(spec.values is not None and spec.values.drawn is Drawn.FILE for spec in specs):
        return SizesError(
            f"{path} does not run on these inputs",
            values=f"{fed}\n{reason}",
            remedy=f"correct the samples of --inputs, or {sizes}",
        )
    if not assumed:
        return SizesError(
            f"{path} does not run", values=f"{fed}\n{reason}", remedy=f"{sizes}, or real inputs with --inputs FILE.npz"
        )
    return SizesError(
        f"{path} does not run on what its inputs were assumed to be",
        values=f"{fed}\n{'; '.join(assumed)}\n{reason}",
        remedy=f"give real inputs with --inputs FILE.npz, or {sizes.removeprefix('give ')}",
    )


def _size_in_words(spec: TensorSpec) -> str:
    """Ids 1x128; any batch is where it is fed in several sizes."""
    sizes = "x".join("any batch" if size is None else str(size) for size in spec.shape)
    return f"{spec.name} {sizes.replace('any batchx', 'any batch x ') or 'scalar'}"


def is_loadable(path: Path) -> bool:
    """Whether ONNX Runtime loads a file; False where it is not installed."""
    backend = BACKENDS.get(EVALUATOR)
    if not probe_of(backend).usable:
        return False
    request = OpenRequest(
        precision=Precision.FP32, threads=1, inputs=(), outputs=(), onnx_path=path, exact=True, unoptimised=True
    )
    try:
        with opened_session(backend, request):
            return True
    except BenchboxError:
        return False


def evaluator_outputs(path: Path, check: CheckSet) -> dict[str, np.ndarray]:
    """What onnx's reference evaluator makes of a file, its graph raised to a newer opset where that is possible."""
    return check.together(_evaluated(path, check, check.feeds()))


def _evaluated(path: Path, check: CheckSet, feeds: Iterable[Mapping[str, np.ndarray]]) -> list[dict[str, np.ndarray]]:
    from onnx.reference import ReferenceEvaluator

    evaluator = ReferenceEvaluator(_raised(whole_model(path)))
    names = [spec.name for spec in check.outputs]
    made = []
    for feed in feeds:
        arrays = evaluator.run(names, dict(feed))
        assert isinstance(arrays, list), "it gives a list for a list of names"
        made.append(dict(zip(names, arrays, strict=True)))
    return made


def _raised(proto: onnx.ModelProto) -> onnx.ModelProto:
    from onnx import version_converter

    if not 0 < opset_of(proto) < OPSET:
        return proto
    proto.ir_version = max(proto.ir_version, APART_IR)
    try:
        return version_converter.convert_version(proto, OPSET)
    except Exception:  # an operator that the converter does not know; as it is, it may still run
        return proto


def _assumed(inputs: Iterable[TensorSpec]) -> list[str]:
    """What was assumed of the values of inputs, in words."""
    return [f"{spec.name}: {fed_in_words(spec)}" for spec in inputs if fed_in_words(spec).startswith(_ASSUMED)]


def reason_of(error: Exception) -> str:
    """The cause in one line: what the runtime said, where the error is ours."""
    text = (error.values or error.what) if isinstance(error, BenchboxError) else f"{type(error).__name__}: {error}"
    text = _WHERE_IN_C.sub("", " ".join(text.split()))
    return one_line(text, _REASON_CHARACTERS)
