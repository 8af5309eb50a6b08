"""How far does each step from PyTorch in float64 to the session that runs take a network's outputs?

For each network and precision: PyTorch fp64 -> PyTorch fp32 -> ONNX fp32 -> the converted graph -> a session of every
backend that runs the precision here, all on the same seeded samples, by the code that ``benchbox export`` and ``run``
use. Nothing is timed. A hop beyond its tolerance is shown as such. Seeded weights, synthetic calibration.

    python benchmarks/hops.py [MODEL ...]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchbox.backends.base import BACKENDS
from benchbox.errors import BenchboxError, NumericsError
from benchbox.jobs.prepare import graph_precision, onnx_from_source
from benchbox.measure.process.trials import TrialRequest, run_trial
from benchbox.models.sources import resolve
from benchbox.schema.artifact import Hop, OnnxArtifact
from benchbox.schema.model import ModelSource, Precision
from benchbox.schema.plan import MeasurementPlan
from benchbox.schema.trial import Pass

MODELS = ("resnet18", "resnet50", "mobilenet_v2", "shufflenet_v2_x1_0", "googlenet", "squeezenet1_1")
PRECISIONS = (Precision.FP32, Precision.FP16, Precision.BF16, Precision.INT8, Precision.FP8)
RUNNERS = ("onnxruntime", "openvino", "pytorch")
TITLE = f"{'':4s}{'hop':46s} {'max abs':>9s} {'rel. L2':>9s} {'cosine':>12s} {'top-1':>6s}"


def line(hop: Hop) -> str:
    """One hop as a row."""
    agreement = "–" if hop.top1_agreement is None else f"{hop.top1_agreement:.0%}"
    verdict = "" if hop.passed else "   BEYOND TOLERANCE"
    return (
        f"    {f'{hop.source} -> {hop.target}':46s} {hop.max_abs_error:9.2e} {hop.rel_l2_error:9.2e} "
        f"{hop.cosine:12.8f} {agreement:>6s}{verdict}"
    )


def session_hops(source: ModelSource, artifact: OnnxArtifact, backend: str, precision: Precision, root: Path) -> None:
    """What a session makes of the file, or of the module for a backend that runs those."""
    request = TrialRequest(
        pass_=Pass.CHECK,
        number=0,
        backend=backend,
        precision=precision,
        plan=MeasurementPlan(threads=2),
        artifact=artifact,
        source=source,
        root=root,
    )
    trial = run_trial(request)
    for hop in (trial.file_hop, trial.hop):
        if hop is not None:
            print(line(hop), flush=True)


def hops_of(name: str, precision: Precision, root: Path) -> None:
    """The table of one network in one precision."""
    source = resolve(name, input_shape=None, weights=None)
    print(f"  {precision}", flush=True)
    try:
        artifact = onnx_from_source(source, precision=precision, root=root)
    except NumericsError as error:
        print("\n".join(map(line, error.hops)))
        return
    # The first hops are those of the fp32 file.
    for hop in artifact.hops if precision is Precision.FP32 else artifact.hops[-1:]:
        print(line(hop), flush=True)
    for backend in RUNNERS:
        runner = BACKENDS.get(backend)
        refusal = runner.refusal(precision) if runner.probe().usable else runner.probe().reason
        if refusal:
            print(f"    {backend} {precision}: {refusal}")
            continue
        given = onnx_from_source(source, precision=graph_precision(backend, precision), root=root)
        try:
            session_hops(source, given, backend, precision, root)
        except BenchboxError as error:
            print(f"    {backend} {precision}: {error.what}; {error.values}")


def main() -> None:
    """Prints one table per network."""
    with tempfile.TemporaryDirectory() as folder:
        for name in sys.argv[1:] or MODELS:
            print(f"{name}\n{TITLE}")
            for precision in PRECISIONS:
                hops_of(name, precision, Path(folder))


if __name__ == "__main__":
    main()
