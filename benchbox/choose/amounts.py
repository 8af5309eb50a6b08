"""How large is a quality of a configuration, how sure is that, and with which chance is it within a limit?"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from benchbox.schema.accuracy import Share
from benchbox.schema.reading import Better, Reading
from benchbox.stats.interval import wilson_interval
from benchbox.stats.student import t_probability, t_quantile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MEASURED, PUBLISHED = "measured", "published"
_LEVEL = 0.95  # of the readings' intervals
# Of two passes that differ widely a bound may be as good as infinite; a number can be written down.
_MOST_REACH = 600.0


class Amount(Protocol):
    """One quality of one configuration, in its base unit."""

    @property
    def value(self) -> float:
        """The estimate."""
        ...

    @property
    def source(self) -> str:
        """Where it is from: "measured", or who published it."""
        ...

    def bound(self, confidence: float, *, upper: bool) -> float | None:
        """The one-sided confidence bound; None where the spread is not known."""
        ...

    def chance_below(self, limit: float) -> float | None:
        """How probable a true value below the limit is; None where the spread is not known."""
        ...

    def draws(self, generator: np.random.Generator, count: int) -> NDArray[np.float64]:
        """Values that the truth may have, at random."""
        ...


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A positive reading: Student's t on logarithms, as the intervals of the readings are.

    ``error`` is the standard error by the spread of all processes, with so many ``degrees`` of freedom. Where they were
    measured in several passes, ``between`` is the one by the spread of the ``passes``: processes of one pass share what
    the machine was like then, so that the less sure of the two counts.
    """

    value: float
    error: float | None
    degrees: int
    between: float = 0.0
    passes: int = 1
    source: str = MEASURED

    def bound(self, confidence: float, *, upper: bool) -> float | None:
        """See Amount."""
        if self.error is None:
            return None
        reach = min(_MOST_REACH, max(t_quantile(confidence, degrees) * error for error, degrees in self._errors))
        return self.value * math.exp(reach if upper else -reach)

    def chance_below(self, limit: float) -> float | None:
        """See Amount."""
        if self.error is None:
            return None
        far = math.log(limit / self.value)
        chances = [t_probability(far / error, degrees) for error, degrees in self._errors if error]
        return min(chances, key=lambda chance: abs(chance - 0.5), default=float(self.value <= limit))

    def draws(self, generator: np.random.Generator, count: int) -> NDArray[np.float64]:
        """See Amount."""
        import numpy as np

        if not self.error:
            return np.full(count, self.value)
        error, degrees = max(self._errors, key=lambda entry: t_quantile(_LEVEL, entry[1]) * entry[0])
        with np.errstate(over="ignore"):  # of two processes that differ widely a draw may be as good as infinite
            return self.value * np.exp(error * generator.standard_t(degrees, count))

    @property
    def _errors(self) -> tuple[tuple[float, int], ...]:
        known = ((self.error or 0.0, self.degrees),)
        return (*known, (self.between, self.passes - 1)) if self.passes > 1 else known


@dataclass(frozen=True, kw_only=True)
class Counted:
    """A share of labelled samples: Wilson's score interval."""

    right: int
    samples: int
    source: str = MEASURED

    @property
    def value(self) -> float:
        """The share."""
        return self.right / self.samples

    def bound(self, confidence: float, *, upper: bool) -> float | None:
        """See Amount."""
        low, high = wilson_interval(self.right, self.samples, level=2 * confidence - 1)
        return high if upper else low

    def chance_below(self, limit: float) -> float | None:
        """See Amount: by the score test, whose inversion the interval is."""
        if limit >= 1:
            return 1.0
        error = math.sqrt(limit * (1 - limit) / self.samples)
        return statistics.NormalDist().cdf((limit - self.value) / error) if error else float(self.value <= limit)

    def draws(self, generator: np.random.Generator, count: int) -> NDArray[np.float64]:
        """See Amount: the posterior of a share under Jeffreys' prior."""
        return generator.beta(self.right + 0.5, self.samples - self.right + 0.5, count)


@dataclass(frozen=True, kw_only=True)
class Stated:
    """A number from a publication, taken as exact: no interval comes with it."""

    value: float
    source: str

    def bound(self, confidence: float, *, upper: bool) -> float | None:
        """See Amount."""
        return self.value

    def chance_below(self, limit: float) -> float | None:
        """See Amount."""
        return float(self.value <= limit)

    def draws(self, generator: np.random.Generator, count: int) -> NDArray[np.float64]:
        """See Amount."""
        import numpy as np

        return np.full(count, self.value)


def amount_from_reading(reading: Reading) -> Spread:
    """The reading with its spread: the 95 % interval taken back to the standard error of its logarithm."""
    low, high, degrees = reading.low, reading.high, reading.n - 1
    if low is None or high is None or degrees < 1 or not 0 < low <= high:
        return Spread(value=reading.value, error=None, degrees=max(1, degrees))
    reach = t_quantile((1 + _LEVEL) / 2, degrees)
    return Spread(value=reading.value, error=math.log(high / low) / (2 * reach), degrees=degrees)


def amount_from_passes(readings: Sequence[Reading]) -> Spread:
    """Readings of one quality in several passes, as one amount.

    A reading says mean, spread and number of its processes, and these say those of all of them: nothing is lost.

    Args:
        readings: at least one, each of other processes.
    """
    amounts = [amount_from_reading(reading) for reading in readings]
    if len(amounts) == 1:
        return amounts[0]
    counts = [max(1, reading.n) for reading in readings]
    number, logs = sum(counts), [math.log(amount.value) for amount in amounts]
    mean = math.fsum(count * log for count, log in zip(counts, logs, strict=True)) / number
    found = Spread(value=math.exp(mean), error=None, degrees=number - 1)
    if any(amount.error is None and count > 1 for amount, count in zip(amounts, counts, strict=True)):
        return found
    away = [(count, (log - mean) ** 2) for count, log in zip(counts, logs, strict=True)]
    inside = [count * (count - 1) * (each.error or 0.0) ** 2 for count, each in zip(counts, amounts, strict=True)]
    squares = math.fsum([*inside, *(count * square for count, square in away)])
    # Of a mean of passes that are weighted by their processes.
    between = math.fsum(count * count * square for count, square in away) / number**2 * len(away) / (len(away) - 1)
    return dataclasses.replace(
        found, error=math.sqrt(squares / (number - 1) / number), between=math.sqrt(between), passes=len(readings)
    )


def amount_from_share(share: Share, samples: int) -> Counted:
    """A measured accuracy."""
    return Counted(right=round(share.value * samples), samples=samples)


def chance_within(amount: Amount, limit: float, better: Better) -> float | None:
    """How probable it is that the true value is on the good side of the limit; None where the spread is not known."""
    below = amount.chance_below(limit)
    if below is None or better is Better.LOWER:
        return below
    if isinstance(amount, Stated):
        return float(amount.value >= limit)
    if isinstance(amount, Spread) and amount.error == 0:
        return float(amount.value >= limit)
    return 1 - below
