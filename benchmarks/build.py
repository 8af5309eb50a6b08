"""What does a cached, checked engine cost over a bare parser and builder, and what does finding it again cost?

Both in this process, in turn, on the same ONNX file with TensorRT-RTX: ``engine_from_artifact`` into an empty cache
against the vendor's own parser and builder with the same flags, writing the file. Targets: at most 1.05 times the bare
build; a cache hit without a build.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchbox.backends.base import BACKENDS, Compiler
from benchbox.export.engines import engine_from_artifact
from benchbox.jobs.prepare import onnx_from_source
from benchbox.models.sources import resolve
from benchbox.schema.model import Precision

ROUNDS = 15
MODELS = ("resnet18", "resnet50")


def bare_build(path: Path, target: Path) -> None:
    """What a script of ten lines does."""
    import tensorrt_rtx as trt

    class Silent(trt.ILogger):  # type: ignore[misc]
        def log(self, severity: Any, message: str) -> None: ...

        def __init__(self) -> None:
            trt.ILogger.__init__(self)

    logger = Silent()
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    assert parser.parse_from_file(str(path))
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    config.clear_flag(trt.BuilderFlag.TF32)
    profile = builder.create_optimization_profile()
    shape = (1, *network.get_input(0).shape[1:])
    profile.set_shape(network.get_input(0).name, shape, shape, shape)
    config.add_optimization_profile(profile)
    target.write_bytes(bytes(builder.build_serialized_network(network, config)))


def seconds(work: Any) -> float:
    """Wall time of a call."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def main() -> None:
    """Prints one row a network."""
    compiler = BACKENDS.get("tensorrt-rtx")
    assert isinstance(compiler, Compiler)
    for model in MODELS:
        with tempfile.TemporaryDirectory() as name:
            root = Path(name)
            artifact = onnx_from_source(
                resolve(model, input_shape=None, weights=None), precision=Precision.FP32, root=root
            )

            def ours(artifact: Any = artifact, root: Path = root) -> None:
                engine_from_artifact(artifact, compiler=compiler, precision=Precision.FP32, root=root)

            def bare(path: Path = root / artifact.path, target: Path = root / "bare.engine") -> None:
                bare_build(path, target)

            ours()  # loads the vendor's library, which both need
            ratios, bares, hits = [], [], []
            for number in range(ROUNDS):
                shutil.rmtree(root / "engines" / "tensorrt-rtx")
                times = {work: seconds(work) for work in ((bare, ours) if number % 2 else (ours, bare))}
                bares.append(times[bare])
                ratios.append(times[ours] / times[bare])
                hits.append(seconds(ours))
        print(
            f"{model:10s} bare {statistics.median(bares):6.2f} s   benchbox/bare {statistics.median(ratios):.3f} "
            f"({min(ratios):.3f} to {max(ratios):.3f}, {ROUNDS} pairs)   cache hit {statistics.median(hits):.3f} s"
        )


if __name__ == "__main__":
    main()
