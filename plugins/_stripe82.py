"""What the datasets of SDSS Stripe 82 share: keys, filters, science ids, and examples."""

from collections.abc import Mapping
from typing import cast

from imageserv.core.dataset import Band, DataId, Key
from imageserv.core.errors import UsageFault

from ._plugin import ScienceIds

REPOSITORY = "DC_W13_Stripe82"
"""The db id of the demo's repository."""

FACILITY = "Sloan 2.5m"
INSTRUMENT = "SDSS camera"

# Effective wavelength less and plus half of the full width at half maximum: Fukugita et al. 1996, AJ 111, 1748.
BANDS = (
    Band("u", 3.258e-7, 3.857e-7),
    Band("g", 4.136e-7, 5.515e-7),
    Band("r", 5.570e-7, 6.952e-7),
    Band("i", 6.905e-7, 8.440e-7),
    Band("z", 8.412e-7, 9.782e-7),
)
FILTERS = tuple(band.name for band in BANDS)

RUN = Key("run", int, "Number of the drift scan.", minimum=1, maximum=999_999, example="5646")
CAMCOL = Key("camcol", int, "Column of the camera.", minimum=1, maximum=6, example="4")
FIELD = Key("field", int, "Number of the frame in its scan.", minimum=0, maximum=9999, example="694")
FILTER = Key("filter", str, "Filter of the image.", choices=FILTERS, example="g")
TRACT = Key("tract", int, "Number of the tract of the sky map.", minimum=0, maximum=127, example="0")
PATCH = Key(
    "patch",
    str,
    "Column and row of the patch in its tract, joined by a comma.",
    parts=(
        Key("patch_x", int, "Column of the patch in its tract.", minimum=0, maximum=8191, example="225"),
        Key("patch_y", int, "Row of the patch in its tract.", minimum=0, maximum=8191, example="1"),
    ),
    example="225,1",
)

FRAME_KEYS = (RUN, CAMCOL, FIELD, FILTER)
"""Keys of one CCD's image of one field."""

PATCH_KEYS = (TRACT, PATCH, FILTER)
"""Keys of a coadded patch."""

# Sizes of cutouts in the examples.
IN_ARCSEC = {"width": "30.0", "height": "45.0", "unit": "arcsec"}
IN_PIXELS = {"width": "100", "height": "100", "unit": "pixel"}


def templates(stem: str, *endings: str) -> tuple[str, ...]:
    """Return the templates of a file name with each ending, plain, gzipped and tile-compressed, in any folder."""
    return tuple(f"**/{stem}{ending}{packing}" for ending in endings for packing in ("", ".gz", ".fz"))


def frame_science_id(data_id: DataId) -> int:
    """Encode a frame's data id as decimal digits: run, filter (1), camcol (1), field (4).

    Raises
    ------
    UsageFault
        Raised if a key is out of range.
    """
    run, camcol, field = (_integer(key, data_id) for key in (RUN, CAMCOL, FIELD))
    return ((run * 10 + _filter_index(data_id)) * 10 + camcol) * 10_000 + field


def frame_data_id(science_id: int) -> DataId:
    """Decode what `frame_science_id` encodes.

    Raises
    ------
    UsageFault
        Raised if no frame has this science id.
    """
    rest, field = divmod(science_id, 10_000)
    rest, camcol = divmod(rest, 10)
    run, index = divmod(rest, 10)
    return _decoded(science_id, {"run": run, "camcol": camcol, "field": field}, index, FRAME_KEYS)


def patch_science_id(data_id: DataId) -> int:
    """Encode a patch's data id as bits: tract (7), patch_x (13), patch_y (13), filter (3).

    Raises
    ------
    UsageFault
        Raised if a key is out of range.
    """
    x, y = (int(part) for part in str(PATCH.check(data_id["patch"])).split(","))
    return ((_integer(TRACT, data_id) << 13 | x) << 13 | y) << 3 | _filter_index(data_id)


def patch_data_id(science_id: int) -> DataId:
    """Decode what `patch_science_id` encodes.

    Raises
    ------
    UsageFault
        Raised if no patch has this science id.
    """
    tract, x, y = science_id >> 29, science_id >> 16 & 8191, science_id >> 3 & 8191
    return _decoded(science_id, {"tract": tract, "patch": f"{x},{y}"}, science_id & 7, PATCH_KEYS)


FRAME_IDS = ScienceIds(frame_science_id, frame_data_id)
PATCH_IDS = ScienceIds(patch_science_id, patch_data_id)


def _integer(key: Key, data_id: DataId) -> int:
    return cast(int, key.check(data_id[key.name]))


def _filter_index(data_id: DataId) -> int:
    return FILTERS.index(str(FILTER.check(data_id["filter"])))


def _decoded(science_id: int, values: Mapping[str, int | str], index: int, keys: tuple[Key, ...]) -> DataId:
    try:
        if science_id < 0:
            raise UsageFault("it is negative")
        if index >= len(FILTERS):
            raise UsageFault(f"filter {index} is out of range (0 to {len(FILTERS) - 1}, for {', '.join(FILTERS)})")
        found = {**values, "filter": FILTERS[index]}
        return {key.name: key.check(found[key.name]) for key in keys}
    except UsageFault as error:
        raise UsageFault(
            f"sid={science_id} is no science id of this dataset: {error.message}", parameter="sid"
        ) from error
