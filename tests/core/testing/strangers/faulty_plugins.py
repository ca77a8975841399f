"""A right plugin, and plugins that are each wrong in one way: what the kit must tell apart."""

import itertools
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from imageserv.core.candidate import CandidateFile
from imageserv.core.dali.parameters import Parameter
from imageserv.core.dataset import Band, DataId, Dataset, Example, Key
from imageserv.core.errors import ConfigurationFault, FitsFault, NoOverlapFault, UsageFault
from imageserv.core.fits.cards import HeaderTemplate
from imageserv.core.fits.engine import Cutout, CutoutRequest, OutputHdu, cut
from imageserv.core.fits.opened import OpenImage
from imageserv.core.hookspecs import hookimpl
from imageserv.core.record import Found, Observation, Plane
from imageserv.core.sky.stencil import Circle, Polygon, Range, Section

NIGHT = Key("night", int, "Which night.", minimum=1, maximum=9999, example="7")
CHIP = Key("chip", str, "Which chip.", choices=("north", "south"))
BAND = Key("band", str, "Which filter.", choices=("g", "r"), example="r")
_NAME = re.compile(r"(\d{4})-(north|south)-([gr])\.fits")


def write_survey(root: Path) -> None:
    """Write two images that differ in every key; their pixels are unsigned."""
    for count, (night, chip, band) in enumerate(((1, "north", "g"), (2, "south", "r"))):
        rows, columns = 40, 60
        values = np.random.default_rng(count).permutation(rows * columns).reshape(rows, columns)
        primary = fits.PrimaryHDU()
        primary.header.update({"MJD-OBS": 60000.25 + count, "EXPTIME": 30.0, "LOG": 3})
        hdus = fits.HDUList([primary])
        for name, pixels in (("IMAGE", values.astype("u2")), ("MASK", (values % 251).astype("u1"))):
            plane = fits.ImageHDU(pixels, name=name)
            plane.header.update({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CDELT1": -1e-4, "CDELT2": 1e-4})
            plane.header.update({"CRPIX1": 30.5, "CRPIX2": 20.5, "CRVAL1": 10.0 * count, "CRVAL2": 5.0})
            hdus.append(plane)
        hdus.append(fits.BinTableHDU.from_columns([fits.Column("note", "4A", array=["fine"])], name="LOG"))
        hdus.writeto(root / f"{night:04d}-{chip}-{band}.fits")


class Right:
    """Does all that the contract wants."""

    def __init__(self, name: str, options: Mapping[str, object]) -> None:
        if options:
            raise ConfigurationFault(f"dataset {name!r} takes no options")

    @hookimpl
    def imageserv_dataset(self) -> Dataset:
        return Dataset(
            description="Images of the kit's own test.",
            keys=(NIGHT, CHIP, BAND),
            planes=("image", "mask"),
            band_key="band",
            bands=(Band("g", 4.0e-7, 5.5e-7), Band("r", 5.5e-7, 7.0e-7)),
            parameters=(Parameter("gain", _positive, "Ignored.", example="2"),),
            examples=(Example("An image", {"night": "1", "chip": "north", "band": "g"}),),
        )

    @hookimpl
    def imageserv_science_id(self, data_id: DataId) -> int:
        chip, band = CHIP.choices.index(str(data_id["chip"])), BAND.choices.index(str(data_id["band"]))
        return int(data_id["night"]) * 10 + 2 * chip + band

    @hookimpl
    def imageserv_data_id(self, science_id: int) -> DataId | None:
        night, digit = divmod(science_id, 10)
        if not 1 <= night <= 9999 or digit > 3:
            raise UsageFault(f"sid={science_id} is no image's", parameter="sid")
        return {"night": night, "chip": CHIP.choices[digit // 2], "band": BAND.choices[digit % 2]}

    @hookimpl
    def imageserv_recognise(self, file: CandidateFile) -> Sequence[Found] | None:
        return self.recognise(file)

    def recognise(self, file: CandidateFile) -> Sequence[Found] | None:
        match = _NAME.fullmatch(file.path)
        if match is None:
            return None
        names = {hdu.name: hdu.index for hdu in file.hdus}
        if not {"IMAGE", "MASK"} <= names.keys():
            raise FitsFault("has no HDUs named IMAGE and MASK")
        header: Any = file.header(0)
        start = float(header["MJD-OBS"])
        seen = Observation(t_min=start, t_max=start + 30 / 86400, t_exptime=30.0)
        data_id = {"night": int(match[1]), "chip": match[2], "band": match[3]}
        return [Found(data_id, (Plane("image", names["IMAGE"]), Plane("mask", names["MASK"])), seen)]

    @hookimpl
    def imageserv_cutout(self, image: OpenImage, request: CutoutRequest) -> Cutout:
        return self.cutout(image, request)

    def cutout(self, image: OpenImage, request: CutoutRequest) -> Cutout:
        return cut(image, request, drop=frozenset({"LOG"}))


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError("must be positive")
    return value


def changed(cutout: Cutout, place: int, **changes: Any) -> Cutout:
    """Return a cutout with one HDU changed."""
    hdus = list(cutout.hdus)
    hdus[place] = replace(hdus[place], **changes)
    return replace(cutout, hdus=tuple(hdus))


def pixels_of(hdu: OutputHdu, change: Callable[[Any], Any]) -> Callable[[], Any]:
    return lambda: change(hdu.read())


# --- each wrong in one way


class TakesAnyOption(Right):
    def __init__(self, name: str, options: Mapping[str, object]) -> None:
        super().__init__(name, {})


def says(**changes: Any) -> Mapping[str, Any]:
    return changes


class Declares(Right):
    """Declares something else."""

    changes = says()

    @hookimpl
    def imageserv_dataset(self) -> Dataset:
        return replace(super().imageserv_dataset(), **self.changes)


class SaysNothing(Declares):
    changes = says(description=" ")


class HasAKeyTwice(Declares):
    changes = says(keys=(NIGHT, CHIP, BAND, Key("Band", str, "Again.")))


class ShowsNoValue(Declares):
    changes = says(keys=(replace(NIGHT, example="tonight"), CHIP, BAND))


class GivesNanometres(Declares):
    changes = says(bands=(Band("g", 5.5e-7, 4.0e-7), Band("r", 5.5e-7, 7.0e-7)))


class ForgetsABand(Declares):
    changes = says(bands=(Band("g", 4.0e-7, 5.5e-7),))


class NamesPlanesTwice(Declares):
    changes = says(planes=("image", "mask", "mask"))


class IsOverdone(Declares):
    changes = says(calib_level=7)


class TripsOverAParameter(Declares):
    changes = says(parameters=(Parameter("gain", lambda text: {"2": 2.0}[text], "Ignored.", example="2"),))


class MisspellsItsExample(Declares):
    changes = says(examples=(Example("An image", {"night": "1", "chip": "nord", "band": "g"}),))


class IsNegative(Right):
    @hookimpl
    def imageserv_science_id(self, data_id: DataId) -> int:
        return -super().imageserv_science_id(data_id)


class ForgetsTheFilter(Right):
    @hookimpl
    def imageserv_science_id(self, data_id: DataId) -> int:
        return super().imageserv_science_id({**data_id, "band": "g"})


class TripsOverADataId(Right):
    @hookimpl
    def imageserv_science_id(self, data_id: DataId) -> int:
        return {"g": super().imageserv_science_id(data_id)}[str(data_id["band"])]


class RefusesInTheDark(Right):
    @hookimpl
    def imageserv_science_id(self, data_id: DataId) -> int:
        if int(data_id["night"]) > 5000:
            raise UsageFault("no such night")
        return super().imageserv_science_id(data_id)


class DecodesTheNextNight(Right):
    @hookimpl
    def imageserv_data_id(self, science_id: int) -> DataId | None:
        data_id = super().imageserv_data_id(science_id)
        assert data_id is not None
        return {**data_id, "night": min(int(data_id["night"]) + 1, 9999)}


class DecodesAnything(Right):
    @hookimpl
    def imageserv_data_id(self, science_id: int) -> DataId | None:
        try:
            return super().imageserv_data_id(science_id)
        except UsageFault:
            return {"night": 1, "chip": "north", "band": "g"}


class TripsOverAnInteger(Right):
    @hookimpl
    def imageserv_data_id(self, science_id: int) -> DataId | None:
        chip = CHIP.choices[science_id % 10 // 2]
        return {"night": science_id // 10, "chip": chip, "band": BAND.choices[science_id % 2]}


class DoesNotNameSid(Right):
    @hookimpl
    def imageserv_data_id(self, science_id: int) -> DataId | None:
        try:
            return super().imageserv_data_id(science_id)
        except UsageFault as fault:
            raise UsageFault(fault.message) from fault


class DecodesNothing(Right):
    @hookimpl
    def imageserv_data_id(self, science_id: int) -> DataId | None:
        return None


class TakesAll(Right):
    def recognise(self, file: CandidateFile) -> Sequence[Found] | None:
        found = super().recognise(file)
        return found or [Found({"night": 9, "chip": "north", "band": "g"}, (Plane("image", 0),))]


class OpensAll(Right):
    def recognise(self, file: CandidateFile) -> Sequence[Found] | None:
        try:
            count = len(file.hdus)
        except FitsFault:
            return None
        return super().recognise(file) if count > 2 else None


class TripsOverDamage(Right):
    def recognise(self, file: CandidateFile) -> Sequence[Found] | None:
        if _NAME.fullmatch(file.path) and not any(hdu.name == "IMAGE" for hdu in file.hdus):
            raise KeyError("IMAGE")
        return super().recognise(file)


class SeesAnotherImageEachTime(Right):
    def __init__(self, name: str, options: Mapping[str, object]) -> None:
        super().__init__(name, options)
        self._count = itertools.count()

    def recognise(self, file: CandidateFile) -> Sequence[Found] | None:
        found = super().recognise(file)
        return found and [replace(found[0], observation=Observation(target=f"M {next(self._count)}"))]


class Shouts(Right):
    def recognise(self, file: CandidateFile) -> Sequence[Found] | None:
        found = super().recognise(file)
        return found and [replace(found[0], data_id={**found[0].data_id, "night": str(found[0].data_id["night"])})]


class CallsPlanesOtherwise(Right):
    def recognise(self, file: CandidateFile) -> Sequence[Found] | None:
        found = super().recognise(file)
        return found and [replace(found[0], planes=(found[0].planes[0], Plane("flags", found[0].planes[1].hdu)))]


class TakesATableForAPlane(Right):
    def recognise(self, file: CandidateFile) -> Sequence[Found] | None:
        found = super().recognise(file)
        return found and [replace(found[0], planes=(found[0].planes[0], Plane("mask", 3)))]


class CountsJulianDays(Right):
    def recognise(self, file: CandidateFile) -> Sequence[Found] | None:
        found = super().recognise(file)
        return found and [replace(found[0], observation=Observation(t_min=2460000.75, t_max=2460000.76))]


class CountsMinutes(Right):
    def recognise(self, file: CandidateFile) -> Sequence[Found] | None:
        found = super().recognise(file)
        return found and [replace(found[0], observation=replace(found[0].observation, t_exptime=1800.0))]


class IsOffByOne(Right):
    def cutout(self, image: OpenImage, request: CutoutRequest) -> Cutout:
        cutout = super().cutout(image, request)
        return changed(cutout, 1, read=pixels_of(cutout.hdus[1], lambda pixels: np.roll(pixels, 1, axis=0)))


class GivesAnotherMask(Right):
    def cutout(self, image: OpenImage, request: CutoutRequest) -> Cutout:
        cutout = super().cutout(image, request)
        if request.detail == "image":
            return cutout
        return changed(cutout, 2, read=pixels_of(cutout.hdus[2], lambda pixels: pixels ^ 255))


class ForgetsTheScale(Right):
    def cutout(self, image: OpenImage, request: CutoutRequest) -> Cutout:
        cutout = super().cutout(image, request)
        hdu = cutout.hdus[1]
        header = HeaderTemplate(hdu.template.write(hdu.changes, hdu.added)).without({"BZERO", "BSCALE"})
        return changed(cutout, 1, template=header, changes=(), added=())


class LeavesTheWcsAsItWas(Right):
    def cutout(self, image: OpenImage, request: CutoutRequest) -> Cutout:
        cutout = super().cutout(image, request)
        template = cutout.hdus[1].template
        kept = {template.place(keyword) for keyword in ("CRPIX1", "CRPIX2")}
        return changed(cutout, 1, changes=[change for change in cutout.hdus[1].changes if change[0] not in kept])


class IgnoresDetail(Right):
    def cutout(self, image: OpenImage, request: CutoutRequest) -> Cutout:
        return super().cutout(image, request._replace(detail="planes"))


class GivesTheMaskAlone(Right):
    def cutout(self, image: OpenImage, request: CutoutRequest) -> Cutout:
        cutout = super().cutout(image, request._replace(detail="planes") if request.detail == "image" else request)
        return replace(cutout, hdus=(cutout.hdus[0], cutout.hdus[2])) if request.detail == "image" else cutout


class SlidesBackIntoTheImage(Right):
    def cutout(self, image: OpenImage, request: CutoutRequest) -> Cutout:
        stencil = request.stencil
        if isinstance(stencil, Section):
            lengths = image.science.shape
            spans = [
                span and (min(max(span[0], 0), length - 1), min(max(span[1], 1), length))
                for span, length in zip(stencil.ranges, lengths, strict=False)
            ]
            request = request._replace(stencil=Section(tuple(spans)))
        return super().cutout(image, request)


class GivesAllWhereNothingIs(Right):
    def cutout(self, image: OpenImage, request: CutoutRequest) -> Cutout:
        try:
            return super().cutout(image, request)
        except NoOverlapFault:
            return super().cutout(image, request._replace(stencil=None))


class ReportsTheWhole(Right):
    def cutout(self, image: OpenImage, request: CutoutRequest) -> Cutout:
        cutout = super().cutout(image, request)
        if cutout.requested == cutout.delivered:
            width, height = image.science.shape
            return replace(cutout, requested=Section(((0, width), (0, height))))
        return cutout


class ChangesACard(Right):
    def cutout(self, image: OpenImage, request: CutoutRequest) -> Cutout:
        cutout = super().cutout(image, request)
        template = cutout.hdus[1].template
        place = template.place("CTYPE1")
        assert place is not None
        card = template.card(place).replace(b"TAN", b"SIN")
        return changed(cutout, 1, changes=[*cutout.hdus[1].changes, (place, card)])


class IsNeverTheSame(Right):
    def __init__(self, name: str, options: Mapping[str, object]) -> None:
        super().__init__(name, options)
        self._count: Iterator[int] = itertools.count()

    def cutout(self, image: OpenImage, request: CutoutRequest) -> Cutout:
        cutout = super().cutout(image, request)
        card = f"VISITOR = {next(self._count):20d}".encode().ljust(80)
        return changed(cutout, 0, added=[*cutout.hdus[0].added, card])


class RemembersImages(Right):
    """Keeps what it cut: as if files never changed."""

    def __init__(self, name: str, options: Mapping[str, object]) -> None:
        super().__init__(name, options)
        self._kept: dict[str, Any] = {}

    def cutout(self, image: OpenImage, request: CutoutRequest) -> Cutout:
        cutout = super().cutout(image, request)
        for place in (1, 2)[: len(cutout.hdus) - 1]:
            hdu = cutout.hdus[place]
            pixels = self._kept.setdefault(f"{image.record.science_id} {request} {place}", np.array(hdu.read()))
            cutout = changed(cutout, place, read=partial(np.array, pixels))
        return cutout


class TripsOverCircles(Right):
    def cutout(self, image: OpenImage, request: CutoutRequest) -> Cutout:
        if isinstance(request.stencil, Circle) and request.stencil.dec > 0:
            raise ZeroDivisionError
        return super().cutout(image, request)


class HasAKeyOfV1(Declares):
    changes = says(keys=(NIGHT, CHIP, BAND, Key("unit", str, "Not what it is in v1.", choices=("one", "two"))))

    @hookimpl
    def imageserv_data_id(self, science_id: int) -> DataId | None:
        data_id = super().imageserv_data_id(science_id // 2)
        return data_id and {**data_id, "unit": ("one", "two")[science_id % 2]}

    @hookimpl
    def imageserv_science_id(self, data_id: DataId) -> int:
        return 2 * super().imageserv_science_id(data_id) + (data_id["unit"] == "two")

    def recognise(self, file: CandidateFile) -> Sequence[Found] | None:
        found = super().recognise(file)
        return found and [replace(found[0], data_id={**found[0].data_id, "unit": "one"})]


class TakesAllByRight(TakesAll):
    """Not wrong, if it says so: ``takes_any_fits``."""

    def recognise(self, file: CandidateFile) -> Sequence[Found] | None:
        return super().recognise(file) if file.path.endswith(".fits") else None


class ChangesPixelsByRight(IsOffByOne):
    """Not wrong, if it says so: ``gives_stored_pixels = False``."""


class TakesAnotherImagesMask(Right):
    """Mixes files up: the mask is that of the last image in the folder."""

    def recognise(self, file: CandidateFile) -> Sequence[Found] | None:
        found = super().recognise(file)
        if not found:
            return found
        other = file.beside("0002-south-r.fits")
        image, mask = found[0].planes
        return [replace(found[0], planes=(image, replace(mask, file=other.stamp)))]


class TrimsTheWhole(Right):
    def cutout(self, image: OpenImage, request: CutoutRequest) -> Cutout:
        if request.stencil is None and request.detail == "planes":
            width, height = image.science.shape
            request = request._replace(stencil=Section(((0, width), (0, height - 1))))
        return super().cutout(image, request)


class ForgetsACorner(Right):
    def cutout(self, image: OpenImage, request: CutoutRequest) -> Cutout:
        if isinstance(request.stencil, Polygon) and len(request.stencil.vertices) > 3:
            request = request._replace(stencil=Polygon(request.stencil.vertices[:-1]))
        return super().cutout(image, request)


class ReadsDegreesAsWidth(Right):
    """Halves the width of a range."""

    def cutout(self, image: OpenImage, request: CutoutRequest) -> Cutout:
        if isinstance(request.stencil, Range):
            request = request._replace(stencil=request.stencil._replace(extent=request.stencil.extent / 2))
        return super().cutout(image, request)


class GivesAnyTime(Right):
    def cutout(self, image: OpenImage, request: CutoutRequest) -> Cutout:
        return super().cutout(image, request._replace(time=None))


class GivesAnyWavelength(Right):
    def cutout(self, image: OpenImage, request: CutoutRequest) -> Cutout:
        return super().cutout(image, request._replace(band=None))


class LosesThePrimaryHeader(Right):
    def cutout(self, image: OpenImage, request: CutoutRequest) -> Cutout:
        cutout = super().cutout(image, request)
        return changed(cutout, 0, template=cutout.hdus[0].template.without({"MJD-OBS", "EXPTIME"}))


class NumbersByHash(Right):
    """Has other science ids in each process."""

    @hookimpl
    def imageserv_science_id(self, data_id: DataId) -> int:
        return super().imageserv_science_id(data_id) + _SALT

    @hookimpl
    def imageserv_data_id(self, science_id: int) -> DataId | None:
        return super().imageserv_data_id(science_id - _SALT)


_SALT = 1_000_000 * os.getpid()
