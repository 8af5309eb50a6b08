"""Which backend runs where none was named, and how is the user told?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchbox.cli.flags.shared import project_root, warn

if TYPE_CHECKING:
    from benchbox.jobs.best_backend import Chooser
    from benchbox.schema.model import ModelSource, Precision
    from benchbox.schema.plan import MeasurementPlan


def chosen_backend(source: ModelSource, precisions: Sequence[Precision], *, modules: bool = True) -> str:
    """The best backend for a network in all of these precisions; says on standard error why, and what else could be.

    ``modules`` says whether backends that run PyTorch modules count. Raises as ``Chooser.best``.
    """
    from benchbox.jobs.best_backend import Chooser

    chooser = Chooser(root=project_root(), modules=modules)
    backend = chooser.best(source, precisions).backend
    say_choices(chooser)
    return backend


def chooser_for(plan: MeasurementPlan) -> Chooser:
    """What chooses the backends of a run; stored records of such a plan count."""
    from benchbox.jobs.best_backend import Chooser

    return Chooser(root=project_root(), plan=plan)


def say_choices(chooser: Chooser) -> None:
    """One line on standard error for each choice that was made."""
    for text in dict.fromkeys(choice.text for choice in chooser.choices.values()):
        warn(f"backend: {text}")
