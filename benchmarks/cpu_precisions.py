"""What do bf16 and int8 give on this CPU, through ONNX Runtime and through OpenVINO?

Per network one process with every session open at once, one thread each; blocks of inferences take turns, so that the
machine's drift hits all alike. A row gives the median, its ratio to ONNX Runtime's fp32, and why: which types the
matrix operations were executed in, and what share of the layers' time they and the runtime's own reordering and
quantising took (a profiled pass of its own). Outputs are compared with fp32's; seeded weights, synthetic calibration.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchbox.backends.base import OpenRequest
    from benchbox.schema.layers import ExecutedLayer

MODELS = ("resnet50", "mobilenet_v2")
BACKENDS = ("onnxruntime", "openvino")
PRECISIONS = ("fp32", "bf16", "int8")
INPUT = (1, 3, 224, 224)
BLOCK, ROUNDS = 15, 12
PROFILED = 10
MATRIX = ("conv", "fullyconnected", "matmul", "gemm")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One backend and precision: the median of all blocks in seconds, and what was executed."""

    backend: str
    precision: str
    median_s: float
    rel_l2_error: float
    why: str


def request_of(path: Path, precision: str) -> OpenRequest:
    """The same question to both backends."""
    from benchbox.backends.base import OpenRequest
    from benchbox.schema.artifact import TensorSpec
    from benchbox.schema.model import Precision

    return OpenRequest(
        precision=Precision(precision),
        threads=1,
        inputs=(TensorSpec(name="input", dtype="float32", shape=INPUT),),
        outputs=(TensorSpec(name="output", dtype="float32", shape=(1, 1000)),),
        onnx_path=path,
    )


def explanation(executed: dict[str, int], layers: Sequence[ExecutedLayer]) -> str:
    """Which types the matrix operations ran in, and what the time went into."""
    total = sum(layer.time_s or 0.0 for layer in layers)
    matrix = sum(layer.time_s or 0.0 for layer in layers if any(word in layer.kind.lower() for word in MATRIX))
    moved = sum(layer.time_s or 0.0 for layer in layers if layer.moves or "quantize" in layer.kind.lower())
    types = ", ".join(f"{count} in {kind}" for kind, count in sorted(executed.items()))
    kernels: Counter[str] = Counter()
    for layer in layers:
        # ONNX Runtime gives the provider here, which is the same for all.
        kernels[layer.kind if layer.tactic.endswith("Provider") else layer.tactic] += layer.time_s or 0.0
    most = ", ".join(f"{name} {taken / total:.0%}" for name, taken in kernels.most_common(3))
    return (
        f"matrix operations: {types}, {matrix / total:.0%} of the layers' time; "
        f"reordering and quantising {moved / total:.0%}; {len(layers)} layers, most time in {most}"
    )


def rows_of_model(files: dict[str, Path]) -> list[Row]:
    """Every backend and precision that can run, measured in turns in this process."""
    import numpy as np

    from benchbox.backends.base import BACKENDS as REGISTERED
    from benchbox.backends.base import LayeredSession
    from benchbox.jobs.prepare import graph_precision
    from benchbox.measure.loop.timing import isolated_block
    from benchbox.schema.model import Precision

    picture = {"input": np.random.default_rng(0).standard_normal(INPUT, dtype=np.float32)}
    sessions, why = {}, {}
    for backend in BACKENDS:
        for precision in PRECISIONS:
            runner = REGISTERED.get(backend)
            refusal = runner.refusal(Precision(precision))
            if refusal:
                print(f"  {backend} {precision}: {refusal}")
                continue
            request = request_of(files[graph_precision(backend, Precision(precision))], precision)
            inspected = runner.open(replace(request, inspect=True))
            assert isinstance(inspected, LayeredSession)
            inspected.upload(0, picture)
            layers = inspected.executed_layers(warmup=2, iterations=PROFILED)
            why[backend, precision] = explanation(dict(inspected.evidence().executed or {}), layers)
            inspected.close()
            session = runner.open(request)
            session.upload(0, picture)
            isolated_block(session, BLOCK, slots=1)
            sessions[backend, precision] = session
    times: dict[tuple[str, str], list[int]] = {key: [] for key in sessions}
    for _ in range(ROUNDS):
        for key, session in sessions.items():
            times[key] += list(isolated_block(session, BLOCK, slots=1).times_ns)
    outputs = {key: session.download(0)["output"] for key, session in sessions.items()}
    exact = outputs["onnxruntime", "fp32"]
    return [
        Row(
            backend=backend,
            precision=precision,
            median_s=statistics.median(taken) / 1e9,
            rel_l2_error=float(np.linalg.norm(outputs[backend, precision] - exact) / np.linalg.norm(exact)),
            why=why[backend, precision],
        )
        for (backend, precision), taken in times.items()
    ]


def main() -> None:
    """Exports the networks, then prints a table for each."""
    from benchbox.schema.model import Precision
    from benchbox.stats.agreement import TOLERANCES

    script = Path(sys.executable).with_name("benchbox")
    with tempfile.TemporaryDirectory() as root:
        for model in MODELS:
            command = [str(script), "export", model, "--precision", "fp32,int8", "--json", "--root", root]
            exported = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            print(f"{model}, batch 1, one thread, {ROUNDS} rounds of blocks of {BLOCK}", flush=True)
            rows = rows_of_model(
                {artifact["precision"]: Path(root) / artifact["path"] for artifact in exported["artifacts"]}
            )
            base = rows[0].median_s
            for row in rows:
                tolerance = TOLERANCES[Precision(row.precision)].rel_l2_error
                wrong = "" if row.rel_l2_error <= tolerance else ": BEYOND TOLERANCE, no speed of this network"
                print(
                    f"  {row.backend:11s} {row.precision}  {1e3 * row.median_s:8.2f} ms   {row.median_s / base:5.2f}x "
                    f"of ONNX Runtime fp32   error {row.rel_l2_error:.1e}{wrong}\n      {row.why}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
