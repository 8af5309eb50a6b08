"""What does a case analytical cost, and what is to be known of it where that cannot be said, or not wholly?

Cost never decides whether a network can be measured: what cannot be counted is absent and flagged.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchbox.errors import ArtifactError, BenchboxError
from benchbox.flags.paper import flag_of_absent_cost, flag_of_constants, flags_of_uncounted
from benchbox.schema.artifact import OnnxArtifact
from benchbox.schema.cost import NetworkCost
from benchbox.schema.model import Precision
from benchbox.schema.reading import Flag
from benchbox.schema.record import Analytic

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchbox.graph.graph import Graph
    from benchbox.schema.proof import Proof
    from benchbox.schema.trial import Trial


@dataclass(frozen=True, kw_only=True)
class Paper:
    """A case's graph, cost and least bytes, None where they cannot be counted, and the flags that say so."""

    graph: Graph | None = None
    cost: NetworkCost | None = None
    least_bytes: int | None = None
    flags: tuple[Flag, ...] = ()

    @property
    def flops(self) -> int:
        """FLOPs of one inference; 0 where they are not wholly known."""
        return self.cost.flops if self.cost is not None and not self.cost.uncounted else 0

    @property
    def analytic(self) -> Analytic | None:
        """The totals, for the record."""
        cost = self.cost
        if cost is None:
            return None
        return Analytic(
            params=cost.params,
            macs=cost.macs,
            flops=cost.flops,
            weight_bytes=cost.weight_bytes,
            peak_activation_bytes=cost.peak_activation_bytes,
            uncounted=cost.uncounted,
            onnx_nodes=cost.onnx_nodes,
            least_bytes=self.least_bytes,
        )

    def prover(self, *, precision: Precision, required: float, insist: bool) -> Callable[[Trial], Proof] | None:
        """What makes a proof of execution, which weighs layers by their cost; None where there is none.

        Raises ArtifactError where a proof is insisted on and cannot be made.
        """
        from benchbox.cost.executed.proof import prover

        hidden = insist and self.cost is not None and any(map(_may_hide_macs, self.cost.uncounted))
        if self.graph is not None and self.cost is not None and not hidden:
            return prover(self.graph, self.cost, precision=precision, required=required)
        if insist:
            raise ArtifactError(
                "the share of MACs that run in the precision cannot be proven",
                values=self.flags[0].message,
                remedy="measure it without --min-executed",
            )
        return None


def _may_hide_macs(title: str) -> bool:
    """Whether a node that is not counted, as listed in a cost, has a graph inside."""
    return title.endswith(("(If)", "(Loop)", "(Scan)"))


def paper_of_engine() -> Paper:
    """That of an engine without its network: nothing can be counted."""
    return Paper(flags=(flag_of_absent_cost("there is no ONNX file beside the engine"),))


def paper_of_artifact(artifact: OnnxArtifact, *, root: Path, batch: int) -> Paper:
    """Counts the file of an artifact at a batch size; whatever is wrong with its cost is a flag."""
    from benchbox.cost.counting import cost_from_graph
    from benchbox.cost.precision.folding import folded
    from benchbox.cost.precision.fusing import least_bytes
    from benchbox.jobs.prepare import graph_from_artifact

    try:
        graph = graph_from_artifact(artifact, root=root, batch=batch)
        cost = cost_from_graph(graph, model=artifact.model, sha256=artifact.sha256, allow_unknown=True)
        moved = sum(least_bytes(folded(graph)).values())
    except BenchboxError as error:
        reason = "; ".join(" ".join(part.split()) for part in (error.what, error.values) if part)
    except Exception as error:  # a bug of the counting is no reason not to measure
        reason = f"counting failed ({type(error).__name__}: {' '.join(str(error).split())})"
    else:
        constant = graph.constants.keys() >= set(graph.outputs)
        flags = (*flags_of_uncounted(cost.uncounted, cost.unsized), *([flag_of_constants()] if constant else []))
        return Paper(graph=graph, cost=cost, least_bytes=moved, flags=flags)
    return Paper(flags=(flag_of_absent_cost(reason),))
