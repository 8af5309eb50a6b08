"""What is said of the conditions that select stored records, where they, or one of their values, fit none?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from benchbox.errors import StoreError, UsageError
from benchbox.schema.record import Record
from benchbox.store.records import count_records, read_headline, readable_records, record_files
from benchbox.store.selection import conditions_from_words, hints_for, none_match


def stored_headlines(root: Path) -> list[Record]:
    """What can be read of the stored records, of each case at least the newest: for hints, which never fail."""
    try:
        files = record_files(root, newest=True)
        return [record for _, record in readable_records(files, warn=lambda _: None, read=read_headline)]
    except StoreError:
        return []


def nothing_fits(root: Path, words: Sequence[str]) -> UsageError:
    """That conditions fit none of the stored records, with what is nearest to what was asked for."""
    return UsageError(
        none_match(count_records(root), words),
        values="\n".join(hints_for(words, stored_headlines(root))),
        remedy="'benchbox report' lists what is stored",
    )


def say_unmatched(root: Path, words: Sequence[str], found: Sequence[Record], warn: Callable[[str], None]) -> None:
    """Warns of each value, of several for one key, that no stored record has: the others hide that it is misspelt."""
    conditions = conditions_from_words(words)
    if found and any(len(patterns) > 1 for _, patterns in conditions):
        for hint in hints_for(words, stored_headlines(root), found=found):
            warn(f"warning: {hint}")
