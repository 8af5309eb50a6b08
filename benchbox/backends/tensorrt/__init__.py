"""How do TensorRT and TensorRT-RTX make engines of ONNX files?

One code for both: ``vendor.py`` imports them and knows what they can do, ``builder.py`` compiles, ``validity.py`` asks
whether an engine would be refused, ``journal.py`` reads what the vendor says. Engines are made but not run yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from benchbox.backends.base import BACKENDS, Availability
from benchbox.backends.tensorrt.vendor import TENSORRT, TENSORRT_RTX, Bindings, Vendor, loaded
from benchbox.errors import EnvironmentLackError
from benchbox.schema.model import Precision

if TYPE_CHECKING:
    from benchbox.backends.base import CompiledEngine, CompileRequest, OpenRequest, Session
    from benchbox.schema.engine import EngineRecipe

_BUILT = frozenset({Precision.FP32, Precision.TF32, Precision.FP16, Precision.INT8, Precision.FP8})


class TensorRtBackend:
    """One vendor's builder behind the common interface."""

    name: ClassVar[str]
    device: ClassVar[str] = "cuda"
    consumes: ClassVar[str] = "onnx"
    virtual: ClassVar[bool] = False
    rank: ClassVar[int] = -1  # never chosen by itself while engines cannot be run
    vendor: ClassVar[Vendor]

    def bindings(self) -> Bindings:
        """The vendor's module; raises EnvironmentLackError with what to install."""
        return loaded(self.vendor)

    def probe(self) -> Availability:
        """What is installed, whether it can build here, and what running its engines lacks."""
        from benchbox.backends.cuda.driver import first_gpu

        try:
            bindings = self.bindings()
        except EnvironmentLackError as error:
            reason = ": ".join(part for part in (error.what, error.values) if part)
            return Availability(usable=False, reason=reason, remedy=error.remedy)
        try:
            gpu = first_gpu()
        except EnvironmentLackError as error:
            builds = not bindings.tunes_on_gpu
            can = "builds engines here but cannot run them" if builds else "can neither build nor run engines here"
            return Availability(
                usable=False,
                builds=builds,
                version=bindings.version,
                reason=f"{self.vendor.title} {bindings.version} {can}: {error.what}",
                remedy=error.remedy,
            )
        return Availability(
            usable=False,
            builds=True,
            version=bindings.version,
            device=str(gpu),
            reason=f"{self.vendor.title} {bindings.version} builds engines here; benchbox does not run them yet",
        )

    def refusal(self, precision: Precision) -> str | None:
        """fp32, tf32, fp16, int8 and fp8 graphs are made; the others are not yet."""
        return None if precision in _BUILT else f"benchbox does not make {precision} graphs yet"

    def open(self, request: OpenRequest) -> Session:
        """Raises EnvironmentLackError with what ``probe`` found: engines cannot be run yet."""
        state = self.probe()
        raise EnvironmentLackError(
            f"{self.vendor.title} engines cannot be run here", values=state.reason, remedy=state.remedy
        )

    def recipe(self, request: CompileRequest) -> EngineRecipe:
        """Everything that decides the engine of a request; see ``Compiler``."""
        from benchbox.backends.tensorrt.builder import recipe_from_request

        return recipe_from_request(self.bindings(), request)

    def compile(self, request: CompileRequest, recipe: EngineRecipe) -> CompiledEngine:
        """The engine of a recipe; see ``Compiler``."""
        from benchbox.backends.tensorrt.builder import engine_from_onnx

        return engine_from_onnx(self.bindings(), request.onnx_path, recipe, timing_cache=request.timing_cache)

    def fault(self, engine: bytes) -> str | None:
        """Why an engine's bytes would be refused on any machine; see ``Compiler``."""
        from benchbox.backends.tensorrt.validity import verdict_on

        return "; ".join(verdict_on(self.bindings(), engine).of_the_file) or None


class TensorRt(TensorRtBackend):
    """TensorRT 10 and 11: tunes on the GPU of this machine."""

    name: ClassVar[str] = TENSORRT.name
    vendor: ClassVar[Vendor] = TENSORRT


class TensorRtRtx(TensorRtBackend):
    """TensorRT for RTX: builds on any machine for named compute capabilities, compiles kernels when loaded."""

    name: ClassVar[str] = TENSORRT_RTX.name
    vendor: ClassVar[Vendor] = TENSORRT_RTX


BACKENDS.register(TensorRt.name, TensorRt())
BACKENDS.register(TensorRtRtx.name, TensorRtRtx())
