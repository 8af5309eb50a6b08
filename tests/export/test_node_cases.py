"""Every node test of the onnx package: counted with the sizes that it stores, or refused by name; and measured.

One process and functions below the command line. The tables are printed: ``pytest -rP`` shows them.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from node_cases import COUNTED, MEASURED, counted, measurable, node_cases, table

# On a push every so many cases are run by the judge and the check; all of them take a minute and a half.
EVERY, COUNTED_EVERY = 256, 24
# What ONNX Runtime itself does not run on drawn inputs, or nobody can: everything else must be accepted.
REFUSED_FOR = ("holds elements of type", "is a sequence", "is optional")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("node-cases")


@pytest.mark.filterwarnings("ignore")
def test_some_node_cases_are_counted_and_fewer_are_measured(folder: Path) -> None:
    outcomes = {case.name: counted(case, folder) for case in node_cases()[::COUNTED_EVERY]}
    print(table(outcomes))
    assert list(outcomes.values()).count(COUNTED) > 0.9 * len(outcomes)
    sample = {case.name: measurable(case, folder) for case in node_cases()[::EVERY]}
    print(table(sample))
    _require_measured(sample)


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore")
def test_all_node_cases_are_measured_or_refused_by_name(folder: Path) -> None:
    (every := folder / "every").mkdir()
    assert [counted(case, every) for case in node_cases()].count(COUNTED) > 0.9 * len(node_cases())
    outcomes = {case.name: measurable(case, every) for case in node_cases()}
    print(table(outcomes))
    assert list(outcomes.values()).count(MEASURED) > 0.8 * len(outcomes)
    _require_measured(outcomes)


def _require_measured(outcomes: dict[str, str]) -> None:
    """What is refused is of a type that no input can have, or fails in the runtime on these inputs."""
    others = {
        name: outcome
        for name, outcome in outcomes.items()
        if outcome not in (MEASURED, "FILE does not run")
        and not outcome.startswith("unchecked: no judge can run it")
        and not any(reason in outcome for reason in REFUSED_FOR)
    }
    assert not others
