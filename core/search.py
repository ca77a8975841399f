"""A search of the registry: which images a client would like to know of."""

from dataclasses import dataclass

from .sky.stencil import Circle, Interval, Shape

_FEW, _SMALL = 4, 0.25
"""Circles, and degrees."""


@dataclass(frozen=True, slots=True)
class Search:
    """What images must be like: each constraint is satisfied by any of its values; an empty one by every image.

    A column that is unknown (None) satisfies no constraint. The names are
    those of ObsCore's columns (ObsCore 1.1 section 3.3).

    Attributes
    ----------
    shapes
        The image's footprint meets one of them.
    bands
        Vacuum wavelengths (m): em_min to em_max meets one of them.
    times
        MJD UTC (d): t_min to t_max meets one of them.
    pol_states
        The image has one of these states.
    s_fov, s_resolution, em_res_power, t_exptime, t_resolution
        The image's value (deg; arcsec; a ratio; s; s) is within one of them.
    identifiers
        Local parts of publisher DIDs, compared without case.
    dataproduct_types
        ``image`` or ``cube``.
    targets, facilities, instruments
        As written.
    """

    shapes: tuple[Shape, ...] = ()
    bands: tuple[Interval, ...] = ()
    times: tuple[Interval, ...] = ()
    pol_states: tuple[str, ...] = ()
    s_fov: tuple[Interval, ...] = ()
    s_resolution: tuple[Interval, ...] = ()
    em_res_power: tuple[Interval, ...] = ()
    t_exptime: tuple[Interval, ...] = ()
    t_resolution: tuple[Interval, ...] = ()
    identifiers: tuple[str, ...] = ()
    dataproduct_types: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    facilities: tuple[str, ...] = ()
    instruments: tuple[str, ...] = ()

    @property
    def narrow(self) -> bool:
        """Whether an index finds the few images that are worth a look: those of a few small circles."""
        return 0 < len(self.shapes) <= _FEW and all(
            isinstance(shape, Circle) and shape.radius <= _SMALL for shape in self.shapes
        )
