"""How do TensorRT and TensorRT-RTX make engines of ONNX files?

One code for both: ``vendor.py`` imports them and knows what they can do, ``builder.py`` compiles, ``validity.py`` asks
whether an engine would be refused, ``session.py`` runs one, ``journal.py`` reads what the vendor says. With and without
a CUDA graph are two backends, as they are two things to measure; they share their engines. A builder or runtime makes a
CUDA context: both live in processes of their own, never in the one that starts the workers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from benchbox.backends.base import BACKENDS, Availability
from benchbox.backends.child import in_child
from benchbox.backends.tensorrt.vendor import TENSORRT, TENSORRT_RTX, Bindings, Vendor, loaded
from benchbox.errors import BenchboxError, EnvironmentLackError
from benchbox.schema.model import Precision

if TYPE_CHECKING:
    from pathlib import Path

    from benchbox.backends.base import CompiledEngine, CompileRequest, OpenRequest, Session
    from benchbox.schema.engine import EngineBorder, EngineRecipe


class TensorRtRunner:
    """One vendor's runtime behind the common interface: opens sessions on engines that ``compiler`` builds."""

    name: ClassVar[str]
    device: ClassVar[str] = "cuda"
    consumes: ClassVar[str] = "engine"
    virtual: ClassVar[bool] = False
    rank: ClassVar[int] = -1
    vendor: ClassVar[Vendor]
    graph: ClassVar[bool] = False
    queries: ClassVar[bool] = True
    sizes_outputs: ClassVar[bool] = True
    """Whether it takes outputs whose size is known only after an inference."""
    compiler: ClassVar[str]

    def bindings(self) -> Bindings:
        """The vendor's module; raises EnvironmentLackError with what to install."""
        return loaded(self.vendor)

    def probe(self) -> Availability:
        """What is installed, whether it can build here, and what running its engines lacks."""
        from benchbox.backends.cuda.choice import ready_gpu
        from benchbox.backends.cuda.driver import gpu_from_driver

        try:
            bindings = self.bindings()
        except EnvironmentLackError as error:
            return Availability(usable=False, reason=_in_one(error), remedy=error.remedy)
        try:
            gpu = gpu_from_driver()
        except EnvironmentLackError as error:
            builds = not bindings.tunes_on_gpu
            can = "builds engines here but cannot run them" if builds else "can neither build nor run engines here"
            return self._unusable(bindings, builds=builds, reason=f"{can}: {error.what}", remedy=error.remedy)
        if not bindings.supports(gpu.target):
            known = ", ".join(bindings.targets)
            reason = f"builds engines here but cannot run them: {gpu} is not among {known}"
            return self._unusable(bindings, builds=True, reason=reason, remedy="use another GPU or --backend tensorrt")
        try:
            ready_gpu()
        except BenchboxError as error:
            reason = f"builds engines here but cannot run them: {_in_one(error)}"
            return self._unusable(bindings, builds=True, reason=reason, remedy=error.remedy)
        return Availability(usable=True, builds=True, version=bindings.version, device=str(gpu))

    def _unusable(self, bindings: Bindings, *, builds: bool, reason: str, remedy: str) -> Availability:
        return Availability(
            usable=False,
            builds=builds,
            version=bindings.version,
            reason=f"{self.vendor.title} {bindings.version} {reason}",
            remedy=remedy,
        )

    def refusal(self, precision: Precision) -> str | None:
        """fp64 is refused; graphs of every other precision are made, and the builder judges them for its targets."""
        return f"{self.vendor.title} has no fp64 arithmetic" if precision is Precision.FP64 else None

    def border(self, path: Path) -> EngineBorder:
        """Inputs and outputs of an engine from elsewhere; see ``EngineReader``."""
        self.bindings()  # what is missing is said here, not by a child
        made: EngineBorder = in_child("benchbox.backends.tensorrt.border:border_of_engine", self.vendor, path)
        return made

    def open(self, request: OpenRequest) -> Session:
        """A session on an engine; raises EnvironmentLackError without a GPU, and what ``TensorRtSession`` raises."""
        from benchbox.backends.cuda.choice import open_layer
        from benchbox.backends.tensorrt.session import TensorRtSession

        return TensorRtSession(self.bindings(), open_layer(), request, graph=self.graph)


class TensorRtBackend(TensorRtRunner):
    """One vendor's builder and runtime."""

    def recipe(self, request: CompileRequest) -> EngineRecipe:
        """Everything that decides the engine of a request; see ``Compiler``."""
        from benchbox.backends.tensorrt.builder import recipe_from_request

        return recipe_from_request(self.bindings(), request)

    def compile(self, request: CompileRequest, recipe: EngineRecipe) -> CompiledEngine:
        """The engine of a recipe; see ``Compiler``."""
        made: CompiledEngine = in_child(
            "benchbox.backends.tensorrt.builder:built_here",
            self.vendor,
            request.onnx_path,
            recipe,
            request.timing_cache,
        )
        return made

    def fault(self, engine: bytes) -> str | None:
        """Why an engine's bytes would be refused on any machine; see ``Compiler``."""
        if not self.bindings().judges_engines:
            return None
        found: str | None = in_child("benchbox.backends.tensorrt.validity:fault_of", self.vendor, engine)
        return found


class TensorRt(TensorRtBackend):
    """TensorRT 10 and 11: tunes on the GPU of this machine."""

    name: ClassVar[str] = TENSORRT.name
    rank: ClassVar[int] = 40
    vendor: ClassVar[Vendor] = TENSORRT
    compiler: ClassVar[str] = TENSORRT.name


class TensorRtRtx(TensorRtBackend):
    """TensorRT for RTX: builds on any machine for named compute capabilities, compiles kernels when loaded."""

    name: ClassVar[str] = TENSORRT_RTX.name
    rank: ClassVar[int] = 30
    vendor: ClassVar[Vendor] = TENSORRT_RTX
    compiler: ClassVar[str] = TENSORRT_RTX.name


class TensorRtGraph(TensorRtRunner):
    """TensorRT, each inference launched as a captured CUDA graph."""

    name: ClassVar[str] = f"{TENSORRT.name}-graph"
    vendor: ClassVar[Vendor] = TENSORRT
    graph: ClassVar[bool] = True
    compiler: ClassVar[str] = TENSORRT.name


class TensorRtRtxGraph(TensorRtRunner):
    """TensorRT for RTX, each inference launched as a CUDA graph that the runtime captures."""

    name: ClassVar[str] = f"{TENSORRT_RTX.name}-graph"
    vendor: ClassVar[Vendor] = TENSORRT_RTX
    graph: ClassVar[bool] = True
    compiler: ClassVar[str] = TENSORRT_RTX.name


def _in_one(error: BenchboxError) -> str:
    return ": ".join(part for part in (error.what, error.values) if part)


for _backend in (TensorRt(), TensorRtGraph(), TensorRtRtx(), TensorRtRtxGraph()):
    BACKENDS.register(_backend.name, _backend)
