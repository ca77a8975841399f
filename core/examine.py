"""Examining one file: what a plugin recognises in it, and where on the sky that is."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from .candidate import CandidateFile
from .dataset import Dataset
from .errors import FitsFault, ImageServError, UnsupportedFault
from .fits.layout import Hdu, Layout
from .fits.wcscards import wcs_cards
from .identifiers import local_identifier
from .manager import DatasetPlugin
from .obscore import POL_STATES, coverage
from .record import FileStamp, Found, ImageRecord, Observation, Plane
from .sky.footprint import footprint_of
from .sky.gnomonic import Gnomonic
from .sky.polarization import polarization_axis
from .sky.spectral import spectral_axes, spectral_axis
from .sky.stencil import Interval
from .sky.wcs import SkyWcs


@dataclass(frozen=True, slots=True)
class Examined:
    """What a file holds, ready for the registry."""

    stamp: FileStamp
    layout: Layout
    images: tuple[ImageRecord, ...]
    warnings: tuple[str, ...]


def examine(plugin: DatasetPlugin, file: CandidateFile) -> Examined | None:
    """Read the images of a dataset that a file holds; None if the plugin says that it is not of the dataset.

    Raises
    ------
    FitsFault
        Raised if the file cannot be served; the message says why.
    """
    stamp = file.stamp
    try:
        found = plugin.recognise(file)
        if found is None:
            return None
        warnings: list[str] = []
        tangent_planes: dict[int, Gnomonic | None] = {}
        images = tuple(_record(plugin, file, stamp, image, tangent_planes, warnings) for image in found)
    except FitsFault:
        raise
    except ImageServError as fault:
        raise FitsFault(fault.message) from fault
    except OSError as error:
        raise FitsFault(f"cannot be read: {error.strerror or error}") from error
    except Exception as error:  # a plugin that trips over a strange header must not end the run
        raise FitsFault(f"the plugin {plugin.plugin!r} failed on it: {error!r}") from error
    if not images:
        raise FitsFault("holds no image of this dataset")
    hdus = list(file.hdus)
    for index, plane in tangent_planes.items():
        hdus[index] = replace(hdus[index], tangent_plane=plane)
    layout = Layout(tuple(hdus), file.layout.size, file.layout.packed)
    return Examined(stamp, layout, images, tuple(warnings))


def examines(plugin: DatasetPlugin, file: CandidateFile) -> bool:
    """Tell whether a plugin would have a file, be it to take it or to refuse it."""
    try:
        return plugin.recognise(file) is not None
    except Exception:  # as `examine`: it tripped over the file, so the file is of its dataset
        return True


def _record(
    plugin: DatasetPlugin,
    file: CandidateFile,
    stamp: FileStamp,
    found: Found,
    tangent_planes: dict[int, Gnomonic | None],
    warnings: list[str],
) -> ImageRecord:
    """Make the record of an image; add the tangent plane of its WCS, and warnings, to those of others."""
    declaration = plugin.declaration
    data_id = declaration.check_data_id(found.data_id)
    warnings.extend(found.warnings)
    if found.planes[0].file is not None:
        raise FitsFault(f"the science plane {found.planes[0].name} is in another file: that one is to be recognised")
    science = _hdu(file, found.planes[0])
    axes, width, height, footprint, scale = (0, 1), *_first_axes(science), None, None
    header: Mapping[str, Any] | None = None
    try:
        cards = wcs_cards(science)
        header = cards.values
        wcs = SkyWcs(cards)
        if wcs.axes[1] >= len(science.shape):
            raise UnsupportedFault("its WCS has more axes than its pixels")
        axes = wcs.axes
        tangent_planes[science.index] = wcs.tangent_plane
        width, height = science.shape[axes[0]], science.shape[axes[1]]
        footprint = footprint_of(wcs.vectors, width, height)
        scales = wcs.scales((width - 1) / 2, (height - 1) / 2)
        scale = None if scales is None else 3600 * (scales[0] * scales[1]) ** 0.5
    except (UnsupportedFault, ValueError) as fault:
        warnings.append(f"left out of searches by position: {fault}")
    planes = [found.planes[0]]
    for plane in found.planes[1:]:
        hdu = _hdu(file, plane)
        if len(hdu.shape) > axes[1] and (hdu.shape[axes[0]], hdu.shape[axes[1]]) == (width, height):
            planes.append(plane)
        else:
            warnings.append(f"plane {plane.name} left out: its shape is {hdu.shape}, not {science.shape}")
    band = None if declaration.band_key is None else str(data_id[declaration.band_key])
    channels, wavelengths = _channels(header, science)
    return ImageRecord(
        dataset=plugin.name,
        identifier=local_identifier(plugin.name, declaration, data_id),
        science_id=plugin.science_id(data_id),
        data_id=data_id,
        band=band,
        file=stamp,
        size=file.layout.size,
        planes=tuple(planes),
        shape=(width, height),
        footprint=footprint,
        pixel_scale=scale,
        channels=channels,
        pol_states=_states(header, science),
        cube=any(length > 1 for axis, length in enumerate(science.shape) if axis not in axes),
        coverage=None if footprint is None else coverage(footprint),
        observation=_completed(found.observation, plugin.declaration, band, wavelengths),
    )


def _hdu(file: CandidateFile, plane: Plane) -> Hdu:
    holder = file if plane.file is None else file.beside(plane.file.path)
    if not 0 <= plane.hdu < len(holder.hdus) or holder.hdus[plane.hdu].kind not in ("image", "compressed"):
        raise FitsFault(f"HDU {plane.hdu}, the {plane.name} plane, is no image")
    return holder.hdus[plane.hdu]


def _first_axes(hdu: Hdu) -> tuple[int, int]:
    return hdu.shape[0], hdu.shape[1] if len(hdu.shape) > 1 else 1


def _length(hdu: Hdu, axis: int) -> int:
    """Return the number of pixels along an axis, 1 along one that only the WCS has."""
    return hdu.shape[axis] if axis < len(hdu.shape) else 1


def _channels(header: Mapping[str, Any] | None, hdu: Hdu) -> tuple[int, Interval | None]:
    """Return the length of the spectral axis, 1 if there is none, and its limits (m), None if they cannot be told."""
    if header is None:
        return 1, None
    axis = spectral_axis(header)
    if axis is None:
        return max((_length(hdu, number) for number in spectral_axes(header)), default=1), None
    length = _length(hdu, axis.axis)
    return length, axis.limits(length)


def _states(header: Mapping[str, Any] | None, hdu: Hdu) -> tuple[str, ...]:
    """Return the states that the polarization axis has, in ObsCore's order."""
    axis = None if header is None else polarization_axis(header)
    if axis is None:
        return ()
    states = axis.states(_length(hdu, axis.axis))
    return tuple(state for state in POL_STATES if state in states)


def _completed(
    observation: Observation, declaration: Dataset, band: str | None, wavelengths: Interval | None
) -> Observation:
    """Add what the file does not say: wavelengths, facility and instrument."""
    declared = declaration.band(band)
    if wavelengths is None and declared is not None:
        wavelengths = declared.em_min, declared.em_max
    given = wavelengths if wavelengths is not None and observation.em_min is None else None
    em_min, em_max = given or (observation.em_min, observation.em_max)
    return replace(
        observation,
        em_min=em_min,
        em_max=em_max,
        facility=observation.facility or declaration.facility or None,
        instrument=observation.instrument or declaration.instrument or None,
    )
