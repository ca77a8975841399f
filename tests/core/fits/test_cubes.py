"""Images of more than two axes, and of fewer: cut along all of them, against numpy's slices and astropy's WCS."""

import io
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SpectralCoord
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from imageserv.core.config import Limits
from imageserv.core.errors import LimitFault, NoOverlapFault, UnsupportedFault, UsageFault
from imageserv.core.fits.cards import make_card
from imageserv.core.fits.engine import Cutout, CutoutRequest, cut
from imageserv.core.fits.opened import OpenImage
from imageserv.core.fits.output import write, write_headers
from imageserv.core.record import Observation
from imageserv.core.sky.stencil import Box, Circle, Section

OpenFits = Callable[..., OpenImage]

# astropy's annotations tell little of what these give.
read_fits: Any = fits.open
wcs_of: Any = WCS
spectral: Any = SpectralCoord
unit: Any = u

LENGTHS = {"lon": 12, "lat": 9, "spectral": 7, "stokes": 4}
STATES = ("I", "Q", "U", "V")
HI = 1.420405751768e9
SPECTRA: dict[str, dict[str, Any]] = {
    "FREQ": {"CRVAL": 1.4, "CDELT": -0.01, "CUNIT": "GHz"},
    "VRAD": {"CRVAL": 1500.0, "CDELT": 20.0, "CUNIT": "km/s", "RESTFRQ": HI},
    "VOPT-F2W": {"CRVAL": 9e6, "CDELT": -4e4, "CUNIT": "m/s", "RESTFRQ": HI},
    "WAVE": {"CRVAL": 656.3, "CDELT": 0.1, "CUNIT": "nm"},
    "WAVE-LOG": {"CRVAL": 656.3, "CDELT": 0.1, "CUNIT": "nm"},
    "ENER": {"CRVAL": 2.0, "CDELT": 0.1, "CUNIT": "keV"},
}


def header(roles: Sequence[str], ctype: str = "FREQ") -> fits.Header:
    """Give a header whose axes have these roles, in this order."""
    made = fits.Header()
    spectrum = dict(SPECTRA[ctype])
    rest = spectrum.pop("RESTFRQ", None)
    axes: dict[str, dict[str, Any]] = {
        "lon": {"CTYPE": "RA---SIN", "CRVAL": 150.1, "CRPIX": 6.3, "CDELT": -1e-3, "CUNIT": "deg"},
        "lat": {"CTYPE": "DEC--SIN", "CRVAL": 2.2, "CRPIX": 4.7, "CDELT": 1e-3, "CUNIT": "deg"},
        "spectral": {"CTYPE": ctype, "CRPIX": 2.5, **spectrum},
        "stokes": {"CTYPE": "STOKES", "CRVAL": 1.0, "CRPIX": 1.0, "CDELT": 1.0},
    }
    for axis, role in enumerate(roles, 1):
        made.update({f"{name}{axis}": value for name, value in axes[role].items()})
    if rest is not None:
        made["RESTFRQ"] = rest
    made["RADESYS"] = "ICRS"
    return made


def cube(roles: Sequence[str], ctype: str = "FREQ", dtype: str = "f4", **lengths: int) -> fits.PrimaryHDU:
    """Give a cube in which each pixel has a value of its own."""
    shape = [{**LENGTHS, **lengths}[role] for role in reversed(roles)]
    return fits.PrimaryHDU(np.arange(np.prod(shape)).astype(dtype).reshape(shape), header(roles, ctype))


def write_cube(path: Path, hdu: Any) -> Path:
    fits.HDUList(hdu if isinstance(hdu, list) else [hdu]).writeto(path, overwrite=True)
    return path


def read(cutout: Cutout) -> Any:
    hdus = read_fits(io.BytesIO(bytes(write(cutout))), do_not_scale_image_data=True)
    hdus.verify("exception")
    return hdus


def box(path: Path, width: float, height: float, x: float = 6, y: float = 4, hdu: int = 0) -> Box:
    """Give a box around a pixel of the celestial axes, in the order of the file's axes."""
    with read_fits(path) as hdus:
        sky = wcs_of(hdus[hdu].header).celestial.pixel_to_world(x, y).icrs
    return Box(sky.ra.deg, sky.dec.deg, width, height, "pixel")


def assert_cut(parent: Any, child: Any, ranges: Sequence[tuple[int, int]]) -> None:
    """Assert that a child has these pixels, and the parent's world coordinates for each, on all axes."""
    np.testing.assert_array_equal(child.data, parent.data[tuple(slice(*span) for span in reversed(ranges))])
    old, new = wcs_of(parent.header), wcs_of(child.header)
    pixels = np.array(list(itertools.product(*(range(*span) for span in ranges))), dtype=float)
    starts = np.zeros(old.naxis)
    starts[: len(ranges)] = [start for start, _ in ranges]
    padded = np.zeros((len(pixels), old.naxis))
    padded[:, : len(ranges)] = pixels
    expected = old.wcs_pix2world(padded, 0)
    np.testing.assert_allclose(new.wcs_pix2world(padded - starts, 0), expected, rtol=1e-13, atol=1e-12)


ORDERS = [
    *itertools.permutations(("lon", "lat", "spectral")),
    ("lon", "lat", "spectral", "stokes"),
    ("lon", "lat", "stokes", "spectral"),
    ("stokes", "spectral", "lat", "lon"),
    ("spectral", "lon", "stokes", "lat"),
]


@pytest.mark.parametrize("roles", ORDERS, ids="-".join)
@pytest.mark.parametrize("ctype", SPECTRA)
def test_a_box_is_cut_on_the_celestial_axes_and_a_band_on_the_spectral_one(
    open_fits: OpenFits, tmp_path: Path, roles: tuple[str, ...], ctype: str
) -> None:
    path = write_cube(tmp_path / "cube.fits", cube(roles, ctype))
    spectrum = roles.index("spectral")
    edges = edges_by_spectral_coord(path, spectrum)
    band = sorted(float((edges[channel] + edges[channel + 1]) / 2) for channel in (2, 4))
    image = open_fits(path)
    first, second = sorted((roles.index("lon"), roles.index("lat")))
    swapped = roles[first] == "lat"
    x, y = (4, 6) if swapped else (6, 4)
    request = CutoutRequest(box(path, 4, 3, x, y), "planes", band=(band[0], band[1]))
    ranges = [(0, LENGTHS[role]) for role in roles]
    ranges[first] = (x - 2, x + 2)
    ranges[second] = (y - 1, y + 2)
    ranges[spectrum] = (2, 5)
    cutout = cut(image, request)
    with read_fits(path) as parent:
        assert_cut(parent[0], read(cutout)[0], ranges)
    stokes = roles.index("stokes") if "stokes" in roles else None
    wanted = [None if axis == stokes else span for axis, span in enumerate(ranges)]
    while wanted[-1] is None:
        wanted.pop()
    assert cutout.requested == cutout.delivered == Section(tuple(wanted))


def edges_by_spectral_coord(path: Path, axis: int) -> Any:
    """Give the wavelengths (m) of the channels' edges: coordinates of the whole WCS, conversions of SpectralCoord."""
    with read_fits(path) as hdus:
        wcs = wcs_of(hdus[0].header)
        length = hdus[0].data.shape[-1 - axis]
    places = np.zeros((length + 1, wcs.naxis))
    places[:, axis] = np.arange(length + 1) - 0.5
    values = wcs.wcs_pix2world(places, 0)[:, axis] * unit.Unit(wcs.wcs.cunit[axis])
    convention = {"VRAD": "radio", "VOPT": "optical"}.get(wcs.wcs.ctype[axis][:4])
    rest = wcs.wcs.restfrq * unit.Hz if wcs.wcs.restfrq else None
    return spectral(values, doppler_convention=convention, doppler_rest=rest).to_value(unit.m)


span_of = st.none() | st.tuples(st.integers(-4, 14), st.integers(1, 12)).map(lambda pair: (pair[0], sum(pair)))


@st.composite
def requests(draw: st.DrawFn) -> tuple[tuple[str, ...], str, CutoutRequest, list[float] | None]:
    """Draw a cube's axes, and a section with a band in channels, as places along the axis, and states."""
    roles = draw(st.sampled_from(ORDERS))
    ranges = draw(st.lists(span_of, max_size=len(roles) + 1))
    while len(ranges) > len(roles) and ranges[-1] is not None:
        ranges.pop()
    stencil = draw(st.just(Section(tuple(ranges))) | st.none())
    places = draw(st.none() | st.lists(st.floats(-3.49, 9.49), min_size=2, max_size=2))
    pol = draw(st.just(()) | st.lists(st.sampled_from([*STATES, "XX", "POLI"]), unique=True).map(tuple))
    return roles, draw(st.sampled_from(list(SPECTRA))), CutoutRequest(stencil, "planes", pol=pol), places


@settings(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(drawn=requests())
@example((ORDERS[0], "FREQ", CutoutRequest(Section(((3, 5), None, (5, 9))), "planes"), [0.0, 5.0]))
@example((ORDERS[0], "FREQ", CutoutRequest(Section((None, None, (5, 9))), "planes"), [0.0, 4.4]))
def test_sections_bands_and_states_together(
    open_fits: OpenFits, tmp_path: Path, drawn: tuple[tuple[str, ...], str, CutoutRequest, list[float] | None]
) -> None:
    """Each pixel on its own: is it in the section, does its channel meet the band, has it a wanted state?"""
    roles, ctype, request, places = drawn
    path = tmp_path / f"{'-'.join(roles)}-{ctype}.fits"
    if not path.exists():
        write_cube(path, cube(roles, ctype))
    asked = list(request.stencil.ranges) if isinstance(request.stencil, Section) else []
    asked += [None] * (len(roles) - len(asked))
    taken = [
        {pixel for pixel in range(LENGTHS[role]) if span is None or span[0] <= pixel < span[1]}
        for role, span in zip(roles, asked, strict=False)
    ]
    if places is not None:
        axis = roles.index("spectral")
        edges = edges_by_spectral_coord(path, axis)
        low, high = sorted(
            float(edges[0] + (edges[-1] - edges[0]) * (place + 0.5) / LENGTHS["spectral"]) for place in places
        )
        if low <= 0 or min(abs(edge / bound - 1) for edge in edges for bound in (low, high)) < 1e-11:
            return  # rounding decides on which side of an edge it is
        if low == high:
            return
        request = CutoutRequest(request.stencil, "planes", band=(low, high), pol=request.pol)
        taken[axis] &= {
            channel
            for channel in range(LENGTHS["spectral"])
            if min(edges[channel : channel + 2]) < high and max(edges[channel : channel + 2]) > low
        }
    if request.pol and "stokes" in roles:
        had = [STATES.index(state) for state in request.pol if state in STATES]
        taken[roles.index("stokes")] &= set(range(min(had), max(had) + 1)) if had else set()
    image = open_fits(path)
    if not all(taken):
        with pytest.raises(NoOverlapFault):
            cut(image, request)
        return
    ranges = [(min(pixels), max(pixels) + 1) for pixels in taken]
    cutout = cut(image, request)
    with read_fits(path) as parent:
        assert_cut(parent[0], read(cutout)[0], ranges)
    for axis, span in enumerate(cutout.delivered.ranges):
        assert span == ranges[axis] or (span is None and ranges[axis] == (0, LENGTHS[roles[axis]]))
    assert cutout.requested is not None and len(cutout.requested.ranges) == len(cutout.delivered.ranges)
    assert len(cutout.delivered.ranges) > max(roles.index("lon"), roles.index("lat"))


@pytest.mark.parametrize(
    ("stencil", "requested", "delivered"),
    [
        (None, "[1:12,1:9,1:7]", "[1:12,1:9,1:7]"),
        (Section(()), "[*,*]", "[*,*]"),
        (Section((None, (2, 4))), "[*,3:4]", "[*,3:4]"),
        (Section(((2, 4),)), "[3:4,*]", "[3:4,*]"),
        (Section(((-5, 4), None, (6, 20))), "[-4:4,*,7:20]", "[1:4,*,7:7]"),
        (Section((None, None, (0, 7))), "[*,*,1:7]", "[*,*,1:7]"),
        (Section((None, None, None, None)), "[*,*]", "[*,*]"),
    ],
)
def test_what_is_reported(
    open_fits: OpenFits, tmp_path: Path, stencil: Section | None, requested: str, delivered: str
) -> None:
    path = write_cube(tmp_path / "cube.fits", cube(("lon", "lat", "spectral")))
    cutout = cut(open_fits(path), CutoutRequest(stencil))
    assert (str(cutout.requested), str(cutout.delivered)) == (requested, delivered)


@pytest.mark.parametrize("ranges", [((20, 30),), ((-5, 0),), ((12, 13),), (None, None, (7, 9)), ((5, 5),)])
def test_a_section_elsewhere_does_not_overlap(
    open_fits: OpenFits, tmp_path: Path, ranges: tuple[tuple[int, int] | None, ...]
) -> None:
    path = write_cube(tmp_path / "cube.fits", cube(("lon", "lat", "spectral")))
    with pytest.raises(NoOverlapFault, match="12 x 9 x 7"):
        cut(open_fits(path), CutoutRequest(Section(ranges)))


def test_a_section_of_too_many_axes_is_refused(open_fits: OpenFits, tmp_path: Path) -> None:
    path = write_cube(tmp_path / "flat.fits", cube(("lon", "lat")))
    with pytest.raises(UsageFault, match="2 axes") as raised:
        cut(open_fits(path), CutoutRequest(Section((None, None, (0, 1)))))
    assert raised.value.parameter == "PIXELS"


@pytest.mark.parametrize("shape", [(40,), (9, 12), (7, 9, 12)])
def test_sections_need_no_wcs(open_fits: OpenFits, tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = write_cube(tmp_path / "bare.fits", fits.PrimaryHDU(np.arange(np.prod(shape), dtype="i4").reshape(shape)))
    image = open_fits(path)
    ranges = [(1, length - 2) for length in reversed(shape)]
    cutout = cut(image, CutoutRequest(Section(tuple(ranges))))
    with read_fits(path) as parent:
        np.testing.assert_array_equal(
            read(cutout)[0].data, parent[0].data[tuple(slice(*span) for span in reversed(ranges))]
        )
    assert cutout.delivered == Section(tuple(ranges))
    with read_fits(path) as parent:
        np.testing.assert_array_equal(read(cut(image, CutoutRequest(None)))[0].data, parent[0].data)
    with pytest.raises(UnsupportedFault):
        cut(image, CutoutRequest(Circle(150.1, 2.2, 0.1)))


def test_spectra_of_iraf_learn_where_their_physical_pixels_are(open_fits: OpenFits, tmp_path: Path) -> None:
    """Their coordinates are functions of physical pixels, in WAT cards: logical pixel 1 is the parent's 11th."""
    hdu = fits.PrimaryHDU(np.arange(200, dtype="f4").reshape(4, 50))
    hdu.header.update(CTYPE1="MULTISPE", CTYPE2="MULTISPE", CD1_1=1.0, CD2_2=1.0, WAT0_001="system=multispec")
    path = write_cube(tmp_path / "echelle.fits", hdu)
    child = read(cut(open_fits(path), CutoutRequest(Section(((10, 20), (1, 3))))))[0].header
    assert (child["LTV1"], child["LTV2"]) == (-10, -1)


@pytest.mark.parametrize("codec", ["RICE_1", "GZIP_2"])
@pytest.mark.parametrize("tile", [(1, 1, 12), (1, 9, 12), (3, 4, 5)])
def test_compressed_cubes(open_fits: OpenFits, tmp_path: Path, codec: str, tile: tuple[int, ...]) -> None:
    flat = cube(("lon", "lat", "spectral"), "VRAD", "i4")
    packed = fits.CompImageHDU(flat.data, flat.header, compression_type=codec, tile_shape=tile)
    path = write_cube(tmp_path / "packed.fits", [fits.PrimaryHDU(), packed])
    edges = edges_by_spectral_coord(write_cube(tmp_path / "flat.fits", flat), 2)
    band = tuple(sorted(float(edges[channel] + edges[channel + 1]) / 2 for channel in (3, 5)))
    child = read(cut(open_fits(path), CutoutRequest(box(path, 4, 3, hdu=1), band=(band[0], band[1]))))[1]
    assert_cut(flat, child, [(4, 8), (3, 6), (3, 6)])
    assert not [card for card in child.header if card.startswith(("Z", "TTYPE", "TFORM"))]
    child = read(cut(open_fits(path), CutoutRequest(Section(((1, 3), None, (0, 2))))))[1]
    assert_cut(flat, child, [(1, 3), (0, 9), (0, 2)])


def test_radio_images_of_four_axes(open_fits: OpenFits, tmp_path: Path) -> None:
    """As CASA and AIPS write them: the spectral and the polarization axis are of one pixel."""
    roles = ("lon", "lat", "spectral", "stokes")
    path = write_cube(tmp_path / "radio.fits", cube(roles, spectral=1, stokes=1))
    image = open_fits(path)
    with read_fits(path) as parent:
        edges = edges_by_spectral_coord(path, 2)
        inside = float(edges.mean())
        for request in (
            CutoutRequest(box(path, 4, 3)),
            CutoutRequest(box(path, 4, 3), band=(inside, inside), pol=("I", "V")),
            CutoutRequest(box(path, 4, 3), band=(0.0, np.inf)),
        ):
            assert_cut(parent[0], read(cut(image, request))[0], [(4, 8), (3, 6), (0, 1), (0, 1)])
    with pytest.raises(NoOverlapFault, match="POL Q"):
        cut(image, CutoutRequest(None, pol=("Q",)))
    with pytest.raises(NoOverlapFault, match="BAND"):
        cut(image, CutoutRequest(None, band=(1e-7, 9e-7)))


def test_axes_that_only_the_wcs_has(open_fits: OpenFits, tmp_path: Path) -> None:
    made = header(("lon", "lat", "spectral", "stokes"))
    made["WCSAXES"] = 4
    path = write_cube(tmp_path / "flat.fits", fits.PrimaryHDU(np.ones((9, 12), "f4"), made))
    image = open_fits(path)
    cutout = cut(image, CutoutRequest(box(path, 4, 3), band=(0.2, 0.22), pol=("I",)))
    assert read(cutout)[0].data.shape == (3, 4)
    assert str(cutout.delivered) == "[5:8,4:6]"
    with pytest.raises(NoOverlapFault):
        cut(image, CutoutRequest(None, band=(0.1, 0.2)))
    with pytest.raises(NoOverlapFault):
        cut(image, CutoutRequest(None, pol=("V",)))


def test_planes_are_cut_along_the_axes_that_they_share(open_fits: OpenFits, tmp_path: Path) -> None:
    science: Any = cube(("lon", "lat", "spectral"))
    planes = [
        fits.ImageHDU(science.data + 0.5, science.header),
        fits.ImageHDU(science.data[0] + 1, header(("lon", "lat"))),
        fits.ImageHDU(science.data[:3] + 2, header(("lon", "lat", "spectral"))),
    ]
    path = write_cube(tmp_path / "planes.fits", [science, *planes])
    cutout = cut(open_fits(path, 0, 1, 2, 3), CutoutRequest(Section(((2, 5), (1, 4), (2, 6)))))
    hdus = read(cutout)
    with read_fits(path) as parent:
        for index, last in enumerate([[(2, 6)], [(2, 6)], [], [(0, 3)]]):
            assert_cut(parent[index], hdus[index], [(2, 5), (1, 4), *last])


def test_time_takes_the_image_or_not(open_fits: OpenFits, tmp_path: Path) -> None:
    path = write_cube(tmp_path / "cube.fits", cube(("lon", "lat")))
    known = open_fits(path, observation=Observation(t_min=55000.25, t_max=55000.5))
    for time in [(55000.3, 55000.3), (0.0, 55000.25), (55000.5, np.inf), (-np.inf, np.inf)]:
        assert str(cut(known, CutoutRequest(None, time=time)).delivered) == "[1:12,1:9]"
    for time in [(0.0, 55000.2), (55000.6, 60000.0)]:
        with pytest.raises(NoOverlapFault, match=r"55000\.25 to 55000\.5"):
            cut(known, CutoutRequest(None, time=time))
    assert cut(open_fits(path), CutoutRequest(None, time=(1.0, 2.0)))
    assert cut(open_fits(path, observation=Observation(t_min=55000.25)), CutoutRequest(None, time=(1.0, 2.0)))


def test_a_band_takes_an_image_without_spectral_axis_or_not(open_fits: OpenFits, tmp_path: Path) -> None:
    path = write_cube(tmp_path / "cube.fits", cube(("lon", "lat")))
    known = open_fits(path, observation=Observation(em_min=4e-7, em_max=5e-7))
    for band in [(4.5e-7, 4.5e-7), (0.0, 4e-7), (5e-7, np.inf)]:
        assert str(cut(known, CutoutRequest(None, band=band)).delivered) == "[1:12,1:9]"
    with pytest.raises(NoOverlapFault, match=r"4e-07 to 5e-07 m.*6e-07"):
        cut(known, CutoutRequest(None, band=(6e-7, 7e-7)))
    assert cut(open_fits(path), CutoutRequest(None, band=(6e-7, 7e-7), pol=("Q",)))


def test_what_the_axes_say_counts_before_the_registry(open_fits: OpenFits, tmp_path: Path) -> None:
    path = write_cube(tmp_path / "cube.fits", cube(("lon", "lat", "spectral"), "WAVE"))
    image = open_fits(path, observation=Observation(em_min=1.0, em_max=2.0))
    assert str(cut(image, CutoutRequest(None, band=(656.3e-9, 656.3e-9))).delivered) == "[1:12,1:9,2:2]"


def test_a_velocity_axis_without_rest_frequency_has_no_band(open_fits: OpenFits, tmp_path: Path) -> None:
    hdu = cube(("lon", "lat", "spectral"), "VRAD")
    del hdu.header["RESTFRQ"]
    path = write_cube(tmp_path / "cube.fits", hdu)
    cutout = cut(open_fits(path), CutoutRequest(box(path, 4, 3), band=(1e-7, 2e-7)))
    assert_cut(hdu, read(cutout)[0], [(4, 8), (3, 6), (0, 7)])


@pytest.mark.parametrize("detail", ["planes", "all"])
def test_coordinates_from_a_table_are_those_of_the_parent(open_fits: OpenFits, tmp_path: Path, detail: Any) -> None:
    hdu = cube(("lon", "lat", "spectral"), "WAVE")
    hdu.header.update(CTYPE3="WAVE-TAB", PS3_0="COORDS", PS3_1="WAVELENGTH", CRPIX3=1.0, CRVAL3=1.0, CDELT3=1.0)
    wavelengths = fits.Column("WAVELENGTH", "7D", dim="(1,7)", unit="nm", array=[np.linspace(500, 600, 7) ** 1.1])
    table = fits.BinTableHDU.from_columns([wavelengths], name="COORDS")
    path = write_cube(tmp_path / "table.fits", [hdu, table])
    with read_fits(path) as parent:
        old = wcs_of(parent[0].header, parent)
        sky = old.celestial.pixel_to_world(6, 4).icrs
        request = CutoutRequest(Box(sky.ra.deg, sky.dec.deg, 4, 3, "pixel"), detail)
        hdus = read(cut(open_fits(path), request))
        np.testing.assert_array_equal(hdus[0].data, parent[0].data[:, 3:6, 4:8])
        hdus = read(cut(open_fits(path), CutoutRequest(Section(((4, 8), (3, 6), (2, 5))), detail)))
        np.testing.assert_array_equal(hdus[0].data, parent[0].data[2:5, 3:6, 4:8])
        new = wcs_of(hdus[0].header, hdus)
        pixels = np.array(list(itertools.product(range(4), range(3), range(3))), dtype=float)
        np.testing.assert_allclose(
            new.wcs_pix2world(pixels, 0), old.wcs_pix2world(pixels + np.array([4, 3, 2]), 0), rtol=1e-12
        )
    with pytest.raises(LimitFault, match="not cut"):
        cut(open_fits(path, limits=Limits(max_copied_bytes=55)), CutoutRequest(None, detail))


def test_all_axes_count_towards_the_limit(open_fits: OpenFits, tmp_path: Path) -> None:
    path = write_cube(tmp_path / "cube.fits", cube(("lon", "lat", "spectral")))
    for stencil, count in [(None, 12 * 9 * 7), (Section(((0, 2), (0, 3), (0, 5))), 30)]:
        assert cut(open_fits(path, limits=Limits(max_pixels=count)), CutoutRequest(stencil))
        with pytest.raises(LimitFault, match=str(count - 1)):
            cut(open_fits(path, limits=Limits(max_pixels=count - 1)), CutoutRequest(stencil))


@pytest.mark.parametrize("detail", ["image", "planes", "all"])
def test_headers_are_those_of_the_cutout_and_read_no_pixel(
    open_fits: OpenFits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, detail: Any
) -> None:
    science = cube(("lon", "lat", "spectral"), dtype="i4")
    science.header.update(OBJECT="it", COMMENT="of some\ufffdthing".encode("ascii", "ignore").decode())
    science.header["HIERARCH A LONG NAME"] = 8
    packed = fits.CompImageHDU(science.data, science.header)
    table = fits.BinTableHDU.from_columns([fits.Column("id", "J", array=np.arange(12))])
    path = write_cube(tmp_path / "cube.fits", [science, packed, table])
    cards = [make_card("CUTID", "ivo://" + "x" * 100), make_card("CUTCLIP", False, "is it?")]
    cutout = cut(open_fits(path, 0, 1), CutoutRequest(Section(((2, 5), None, (1, 3))), detail))
    with read_fits(io.BytesIO(bytes(write(cutout, cards))), disable_image_compression=True) as hdus:
        expected = [
            line.rstrip()
            for hdu in hdus
            for line in [*(str(card) for card in hdu.header.cards), "END"]
            for line in [line[at : at + 80] for at in range(0, len(line), 80)]
        ]

    def refuse(*args: object) -> None:
        raise AssertionError("pixels are read")

    monkeypatch.setattr(OpenImage, "pixels", refuse)
    monkeypatch.setattr(OpenImage, "stored", refuse)
    text = write_headers(cut(open_fits(path, 0, 1), CutoutRequest(Section(((2, 5), None, (1, 3))), detail)), cards)
    assert text.endswith("\nEND\n")
    assert text[:-1].split("\n") == expected
    assert text.count("\nEND\n") == len(hdus)


def test_the_same_question_gives_the_same_bytes(open_fits: OpenFits, tmp_path: Path) -> None:
    path = write_cube(tmp_path / "cube.fits", cube(("lon", "lat", "spectral", "stokes"), "VRAD"))
    request = CutoutRequest(box(path, 4, 3), band=(0.211, 0.213), pol=("V", "Q"))
    other = CutoutRequest(request.stencil, band=request.band, pol=("Q", "V"))
    image = open_fits(path)
    content = bytes(write(cut(image, request)))
    assert bytes(write(cut(image, request))) == content == bytes(write(cut(open_fits(path), other)))
