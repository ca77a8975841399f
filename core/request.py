"""What a request wants of one image."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple

from .sky.stencil import Box, Circle, Interval, Section, Stencil

Detail = Literal["image", "planes", "all"]
"""The science plane alone; all planes; all planes and every other HDU."""

DETAILS: Final[tuple[Detail, ...]] = ("planes", "image", "all")
"""How much of a file a cutout can have; the first is the default."""


_SMALL = 0.25
"""Degrees."""


class CutoutRequest(NamedTuple):
    """What to cut out of an image, and how much of it to give.

    A named tuple, as stencils are: ``request._replace(stencil=None)`` gives another.

    Attributes
    ----------
    stencil
        Where; None for everywhere.
    band
        Vacuum wavelengths (m): cuts a spectral axis; an image without one is taken whole, or not at all. None for all.
    time
        MJD UTC (d): the image is taken whole, or not at all. None for all.
    pol
        States of polarization, in ObsCore's words: cuts a polarization axis. Empty for all.
    as_tiles
        Whether tile-compressed planes stay so: then whole tiles are given, as they are stored.
    parameters
        Values of the parameters that the dataset adds (`imageserv.core.dataset.Dataset.parameters`),
        by declared name: only those that the request gives. Read-only.
    """

    stencil: Stencil | None
    detail: Detail = "planes"
    band: Interval | None = None
    time: Interval | None = None
    pol: tuple[str, ...] = ()
    as_tiles: bool = False
    parameters: Mapping[str, Any] = MappingProxyType({})

    @property
    def plain(self) -> bool:
        """Whether its pixels are found at once: a box, a section, or a small circle."""
        stencil = self.stencil
        return isinstance(stencil, Box | Section) or (isinstance(stencil, Circle) and stencil.radius <= _SMALL)
