"""The image record: one row of the registry, and what ingest learns of a file."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .dataset import DataId


@dataclass(frozen=True, slots=True)
class FileStamp:
    """Which file, and how it looked at ingest: a path below the root, bytes, modification time (ns)."""

    path: str
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Plane:
    """One plane of an image: its name (image, mask, variance) and the index of its HDU, counted from 0.

    Attributes
    ----------
    file
        The file that holds it, as it was when it was read (`imageserv.core.candidate.CandidateFile.stamp`); None
        if that is the image's own. The science plane is always in that.
    """

    name: str
    hdu: int
    file: FileStamp | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """What the headers say of when and how an image was taken: ObsCore 1.1 columns, None where unknown.

    Attributes
    ----------
    t_min, t_max
        Start and end of the observation, MJD UTC (d).
    t_exptime
        Exposure time (s).
    em_min, em_max
        Vacuum wavelengths (m); where a plugin leaves them out, ingest takes them from the spectral axis, else from the
        filter.
    facility, instrument
        Where a plugin leaves them out, ingest takes the dataset's.
    title
        One line for people.
    release
        When the image was or will be public: a date, or date and time, as ``2015-01-01T00:00:00``, UTC.
    s_resolution
        Angular resolution (arcsec).
    t_resolution
        Temporal resolution (s).
    em_res_power
        Spectral resolving power.
    """

    t_min: float | None = None
    t_max: float | None = None
    t_exptime: float | None = None
    em_min: float | None = None
    em_max: float | None = None
    facility: str | None = None
    instrument: str | None = None
    target: str | None = None
    title: str | None = None
    release: str | None = None
    s_resolution: float | None = None
    t_resolution: float | None = None
    em_res_power: float | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """One image that a plugin recognises in a file.

    Attributes
    ----------
    planes
        The science plane first; the others are cut alike.
    warnings
        What ingest should report though it takes the image.
    """

    data_id: DataId
    planes: tuple[Plane, ...]
    observation: Observation = field(default_factory=Observation)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Footprint:
    """An image's outline on the sky.

    Attributes
    ----------
    vertices : ndarray, shape (n, 3), float64
        Unit vectors (ICRS) of a spherical polygon's corners, joined by great
        circles, counter-clockwise as seen from the origin (north up, east left).
    center : ndarray, shape (3,), float64
        Unit vector of the image's middle.
    exact
        False if the outline is no simple polygon (an all-sky map, corners
        beyond the projection): then `vertices` surround a cap that covers the
        image, and whether a point is in it takes the WCS.
    """

    vertices: NDArray[np.float64]
    center: NDArray[np.float64]
    exact: bool = True


@dataclass(frozen=True, slots=True)
class Coverage:
    """A footprint as it is published: ObsCore 1.1's columns of the coverage in space, made once, at ingest.

    Attributes
    ----------
    ra, dec
        Of the centre, ICRS degrees, to 1e-9.
    fov
        Diameter of a circle around the image (deg), to 1e-9.
    region
        The outline in STC-S.
    """

    ra: float
    dec: float
    fov: float
    region: str


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image of a repository.

    Attributes
    ----------
    identifier
        Names the image within its repository: the local part of its publisher DID
        (`imageserv.core.identifiers`).
    band
        The value of the dataset's band key, if it has one.
    file
        That of the science plane, and of all others that do not say otherwise.
    size
        Of that file, bytes, unpacked.
    footprint
        None for an image without a usable celestial WCS: it is served by id alone.
    shape
        Of the science plane, in pixels along x and y (the celestial axes in
        the order of the file's axes); of the first two axes without a WCS.
    pixel_scale
        arcsec, None without a WCS.
    channels
        Length of the spectral axis, 1 if there is none.
    pol_states
        What the polarization axis has, in ObsCore's words and order; empty if there is none.
    cube
        Whether it has more than one pixel along an axis that is not celestial.
    coverage
        Of its footprint, if it has one.
    """

    dataset: str
    identifier: str
    science_id: int
    data_id: DataId
    band: str | None
    file: FileStamp
    size: int
    planes: tuple[Plane, ...]
    shape: tuple[int, int]
    footprint: Footprint | None
    pixel_scale: float | None
    channels: int
    pol_states: tuple[str, ...]
    observation: Observation
    cube: bool = False
    coverage: Coverage | None = None

    @property
    def beside(self) -> tuple[FileStamp, ...]:
        """The other files that hold planes of it, each once."""
        files = [plane.file for plane in self.planes if plane.file is not None]
        return tuple(dict.fromkeys(files)) if files else ()
