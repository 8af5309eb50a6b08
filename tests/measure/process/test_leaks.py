"""Looking for a leak runs no more inferences than were timed."""

from __future__ import annotations

from typing import Any

import pytest

from benchbox.flags.leaks import HOST, growth_name
from benchbox.measure.process.leaks import BLOCKS, leaks


@pytest.mark.parametrize(("samples", "blocks"), [(3, 0), (BLOCKS - 1, 0), (BLOCKS, BLOCKS)])
def test_a_process_with_few_samples_does_not_look(samples: int, blocks: int) -> None:
    """Three inferences of ten seconds, and eight more of them to look for a leak: they are most of the time."""
    session: Any = None  # memory of the host alone is read
    ran: list[int] = []
    leaks(session, ran.append, grown={growth_name(HOST): 1e9}, samples=samples, inferences=1)
    assert len(ran) == blocks
