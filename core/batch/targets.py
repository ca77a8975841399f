"""What a job cuts: images and stencils, numbered, found as they are needed; here those that parameters name."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from imageserv.core.errors import ImageServError, UnavailableFault
from imageserv.core.sky.stencil import Stencil

from .finding import Finder, Found


@dataclass(frozen=True, slots=True)
class Target:
    """An image, as it is named, and what of it.

    Attributes
    ----------
    number
        Counted from 0.
    identifier
        Publisher DID of the image, as sent.
    row
        Of the catalogue, counted from 1; None for what parameters name.
    ra, dec
        ICRS degrees, of a row that has them.
    name
        What the client calls it.
    """

    number: int
    identifier: str | None = None
    stencil: Stencil | None = None
    row: int | None = None
    ra: float | None = None
    dec: float | None = None
    name: str | None = None


Finding = tuple[Target, Found | ImageServError]
"""What to cut, and its image, or why there is none."""


class Targets(Protocol):
    """All that a job cuts, in steps.

    Attributes
    ----------
    steps
        How many there are.
    """

    steps: int

    def step(self, step: int, finder: Finder) -> Iterator[Finding | None]:
        """Yield what one step has to answer; None for "nothing yet", so that whoever takes them may stop.

        Raises
        ------
        UnavailableFault
            Raised if a registry cannot be read.
        """
        ...


class Combinations:
    """Each image with each stencil.

    Parameters
    ----------
    identifiers
        Publisher DIDs.
    stencils
        At least one; None for all of an image.
    per_step
        How many targets a step has.
    """

    def __init__(self, identifiers: tuple[str, ...], stencils: tuple[Stencil | None, ...], per_step: int) -> None:
        self._identifiers = identifiers
        self._stencils = stencils
        self._per_step = per_step
        self.steps = -(-len(self) // per_step)

    def __len__(self) -> int:
        """Return how many targets there are."""
        return len(self._identifiers) * len(self._stencils)

    def target(self, number: int) -> Target:
        """Return a target; those of one image follow each other."""
        image, stencil = divmod(number, len(self._stencils))
        return Target(number, self._identifiers[image], self._stencils[stencil])

    def step(self, step: int, finder: Finder) -> Iterator[Finding]:
        """Yield what one step has to answer."""
        last: tuple[str | None, Found | ImageServError | None] = (None, None)
        for number in range(step * self._per_step, min((step + 1) * self._per_step, len(self))):
            target = self.target(number)
            identifier, found = last
            if found is None or identifier != target.identifier:
                found = find(finder, target)
                last = (target.identifier, found)
            yield target, found


def find(finder: Finder, target: Target) -> Found | ImageServError:
    """Return the image that a target names, or why there is none.

    Raises
    ------
    UnavailableFault
        Raised if its registry cannot be read.
    """
    try:
        return finder.by_did(target.identifier or "")
    except UnavailableFault:
        raise
    except ImageServError as fault:
        return fault
