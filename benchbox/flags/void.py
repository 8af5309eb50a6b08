"""Is a record's number one of something else than was asked for?"""

from __future__ import annotations

from benchbox.schema.record import Record

# What was timed is not what was asked for: such a number answers no question about the network.
_OF_SOMETHING_ELSE = frozenset(
    {
        "VIRTUAL_CLOCK",
        "SIMULATED",
        "OVERSUBSCRIBED",
        "PROVIDER_FALLBACK",
        "GRAPH_FALLBACK",
        "PROFILED",
        "THREADS_NOT_GIVEN",
    }
)


def is_void(record: Record) -> bool:
    """Whether a measured record's times are of something else than was asked for: nothing ran in the precision, say."""
    nothing_ran = record.proof is not None and record.proof.macs and record.proof.share == 0
    return bool(nothing_ran) or any(flag.code in _OF_SOMETHING_ELSE for flag in record.flags)
