"""What does one operator cost? A rule is a function of shapes and attributes, registered under the operator's name.

Every operator has a rule or is declared free; one that has neither is an error that names it, never a silent zero.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchbox.errors import ArtifactError
from benchbox.graph.node import MisfitError, NodeView
from benchbox.registry import Registry


@dataclass(frozen=True, kw_only=True)
class OpCost:
    """Multiply-adds of matrix work, and all other arithmetic operations."""

    macs: int = 0
    elementwise: int = 0


Rule = Callable[[NodeView], OpCost]
RULES: Registry[Rule] = Registry("operator", "benchbox.cost.rules")
# Operators whose outputs are their input's bytes under another shape: no work, no new memory.
VIEWS = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout"})


class DependsOnDataError(ArtifactError):
    """How much work a node is depends on the data of an inference: no shape says it."""


def cost_rule(*operators: str) -> Callable[[Rule], Rule]:
    """Registers a function as the rule of these operators."""

    def register(rule: Rule) -> Rule:
        for operator in operators:
            RULES.register(operator, rule)
        return rule

    return register


def declare_free(*operators: str) -> None:
    """Says that these operators compute nothing: they move, reshape or describe."""
    for operator in operators:
        RULES.register(operator, _free)


def is_free(operator: str) -> bool:
    """Whether an operator is declared to compute nothing."""
    return operator in RULES and RULES.get(operator) is _free


def cost_of(node: NodeView) -> OpCost:
    """The cost of a node.

    Raises:
        ArtifactError: an operator without a rule; ranks or attributes in the file that the operator does not take. Any
            other error is a bug of the rule.
    """
    if node.op not in RULES:
        raise ArtifactError(
            f"there is no cost rule for operator {node.op}",
            values=f"node {node.name}",
            remedy="add one in cost/rules/, or count it as zero with --allow-unknown",
        )
    try:
        return RULES.get(node.op)(node)
    except MisfitError as error:
        shapes = ", ".join("none" if tensor is None else str(tensor.shape) for tensor in node.inputs)
        raise ArtifactError(
            f"node {node.name} does not fit its operator {node.op}",
            values=f"{error}; inputs {shapes}",
            remedy="the file is damaged or was edited",
        ) from error


def _free(_: NodeView) -> OpCost:
    return OpCost()
