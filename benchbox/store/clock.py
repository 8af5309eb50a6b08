"""Does this machine's clock fit the records that are here? Nights, histories and newest records go by it."""

from __future__ import annotations

import contextlib
import datetime
from pathlib import Path

from benchbox.store.records import FOLDER

# Before this year nothing can have been measured by this program.
FIRST_YEAR = 2026
# Records of other machines may be a moment ahead, around midnight.
_AHEAD = datetime.timedelta(days=1)


def clock_doubt(root: Path, now: datetime.datetime) -> str:
    """What is wrong with the time ``now``, and what to do, in a sentence; "" where it fits what is stored.

    Only the names of the folders of days are looked at, whatever the number of records.
    """
    today = now.astimezone(datetime.UTC).date()
    remedy = "set it (NTP), since nights and newest records are told by it"
    if today.year < FIRST_YEAR:
        return f"the clock of this machine says {today}: {remedy}"
    days = []
    for folder in (root / FOLDER).glob("env=*/date=*"):
        with contextlib.suppress(ValueError):
            days.append(datetime.date.fromisoformat(folder.name.removeprefix("date=")))
    newest = max(days, default=today)
    if newest - today <= _AHEAD:
        return ""
    return f"the clock of this machine says {today}, and the newest record here is of {newest}: {remedy}"
