"""A repository: what a ``<db id>`` names, from a question to an image."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain

from .answer import CutoutAnswer, Report, StoredFile
from .candidate import CandidateFile, stamp_of
from .config import Config, RepositoryConfig
from .dataset import DataId
from .errors import (
    AuthenticationFault,
    AuthorizationFault,
    FitsFault,
    NoOverlapFault,
    NotFoundFault,
    UnavailableFault,
    UnsupportedFault,
    WouldWait,
)
from .examine import examine, examines
from .fits.files import FileStore, UnpackedCache
from .fits.layout import Layout
from .fits.opened import OpenImage
from .fits.openimages import OpenImages
from .fits.output import header_text, write_headers
from .fits.packing import Packer
from .identifiers import publisher_did
from .ingest import Ingest, Progress, Summary, changed_beside, recipe, walk
from .manager import DatasetPlugin, Plugins
from .neighbours import Neighbours
from .prepared import PreparedCutout
from .record import FileStamp, ImageRecord, Plane
from .registry import WritableRegistry
from .registry.sqlite import open_registry
from .request import CutoutRequest
from .search import Search
from .selection import ByDataId, ByPosition, ByScienceId, Selection, Selector
from .sky.boxes import reach
from .sky.caps import vector_to_degrees
from .sky.regions import contains, region
from .sky.stencil import Shape

_SAMPLES = 5
"""How many files `Repository.check` looks for before it says that none can be read."""


class Repository:
    """One repository.

    Parameters
    ----------
    config
        The repository's part of the configuration.
    service
        The whole of it.
    writable
        Whether to open the registry for ingest.
    opened
        Where open images are kept, if several repositories share it.

    Attributes
    ----------
    registry
        Which images there are.

    Raises
    ------
    PluginFault
        Raised if a plugin cannot be loaded.
    ConfigurationFault
        Raised if the registry's file is none.
    UnavailableFault
        Raised if there is no registry yet.
    """

    def __init__(
        self,
        config: RepositoryConfig,
        service: Config,
        *,
        writable: bool = False,
        opened: OpenImages | None = None,
    ) -> None:
        self.name = config.name
        self.default = config.default
        self._config = config
        self._authority = service.authority
        self._limits = service.limits
        self._plugins = Plugins(config, service.extensions)
        self.datasets: Mapping[str, DatasetPlugin] = self._plugins.datasets
        self._by_name = {plugin.name.lower(): plugin for plugin in self.datasets.values()}
        cache = UnpackedCache(service.cache, service.cache_bytes, service.limits.max_unpacked_bytes)
        self._files = FileStore(config.root, cache)
        self.registry: WritableRegistry = open_registry(config.registry, writable=writable)
        self._packers: dict[str, Packer] = {}
        self._open = opened or OpenImages(packed_bytes=service.cache_bytes, tile_bytes=service.tile_cache_bytes)

    def close(self) -> None:
        """Close the registry and let go of open images."""
        self._open.clear()
        self.registry.close()

    def dataset(self, name: str) -> DatasetPlugin:
        """Return a dataset by its configured name, compared without case.

        Raises
        ------
        NotFoundFault
            Raised if the repository has no such dataset.
        """
        try:
            return self._by_name[name.lower()]
        except KeyError:
            known = ", ".join(self.datasets)
            raise NotFoundFault(f"{self.name} has no dataset {name!r}; it has {known}", parameter="ds") from None

    def authorise(self, dataset: str, headers: Mapping[str, str], *, wait: bool = True) -> None:
        """Ask the plugins whether a client may have images of a dataset; raises what they raise.

        Parameters
        ----------
        wait
            Whether they may be asked now: they may take their time.

        Raises
        ------
        WouldWait
            Raised if there is one to be asked, and it may not.
        """
        if not wait and self._plugins.guarded:
            raise WouldWait
        self._plugins.authorise(self.name, dataset, headers)

    def admits(self, dataset: str, headers: Mapping[str, str]) -> bool:
        """Tell whether the plugins let a client have images of a dataset."""
        try:
            self.authorise(dataset, headers)
        except (AuthenticationFault, AuthorizationFault):
            return False
        return True

    def publisher_did(self, record: ImageRecord) -> str:
        """Return an image's IVOA identifier."""
        return publisher_did(self._authority, self.name, record.identifier)

    def by_did(self, local: str) -> ImageRecord | None:
        """Return the image of the local part of an IVOA identifier, compared without case; None if there is none."""
        dataset = local.partition("/")[0].lower()
        names = (name for name in self.datasets if name.lower() == dataset)
        return next((self.registry.by_identifier(name, local) for name in names), None)

    def search(self, search: Search, datasets: Sequence[str]) -> Iterator[ImageRecord]:
        """Yield the images of some datasets that satisfy a search."""
        return chain.from_iterable(self.search_pages(search, datasets))

    def search_pages(self, search: Search, datasets: Sequence[str]) -> Iterator[list[ImageRecord]]:
        """Yield the images of some datasets, by their configured names, that satisfy a search: pages of them.

        In the registry's order. A page may be empty: whoever waits for an image can give up between two. Where a
        footprint is only a cover, the image itself says whether a shape has a pixel of it; that of
        a file which cannot be read now counts as if it had, since what is
        known of it is still true.
        """
        for page in self.registry.search_pages(datasets, search):
            yield [
                record
                for record in page
                if record.footprint is None
                or record.footprint.exact
                or not search.shapes
                or self._meets(record, search.shapes)
            ]

    def _meets(self, record: ImageRecord, shapes: Sequence[Shape]) -> bool:
        """Tell by the WCS whether a shape has a pixel of an image."""
        try:
            image = self.open(record)
            return any(_has_pixel(shape, image) for shape in shapes)
        except (UnavailableFault, UnsupportedFault):
            return True

    def decode(self, plugin: DatasetPlugin, science_id: int) -> DataId:
        """Return the data id of a science id: by the plugin's arithmetic, else as the registry knows it.

        Raises
        ------
        UsageFault
            Raised if the integer encodes no data id.
        NotFoundFault
            Raised if only the registry could tell, and does not know it.
        """
        data_id = plugin.data_id(science_id)
        if data_id is None:
            record = self.registry.by_science_id(plugin.name, science_id)
            if record is None:
                raise NotFoundFault(f"{plugin.name} has no image with the science id {science_id}", parameter="sid")
            data_id = record.data_id
        return data_id

    def select(self, plugin: DatasetPlugin, selector: Selector, *, wait: bool = True) -> Selection:
        """Return the one image that a selector means.

        By position: of the images whose footprint contains the point, that
        whose centre is nearest; of two at the same distance that of the lower science id.

        Parameters
        ----------
        wait
            Whether files may be looked at for it, where footprints are only covers.

        Raises
        ------
        WouldWait
            Raised if that is needed, and not allowed.
        UsageFault
            Raised if an id is not valid.
        NotFoundFault
            Raised if there is no such image; for a position, the message says how far the nearest one is.
        """
        match selector:
            case ByPosition():
                return self._closest(plugin, selector, wait)
            case ByScienceId(science_id):
                plugin.data_id(science_id)  # refuses an integer that encodes nothing
                record = self.registry.by_science_id(plugin.name, science_id)
                what = f"the science id {science_id}"
            case ByDataId(data_id):
                data_id = plugin.declaration.check_data_id(data_id)
                record = self.by_data_id(plugin, data_id)
                what = "the data id " + ", ".join(f"{key}={value}" for key, value in data_id.items())
        if record is None:
            raise NotFoundFault(f"{self.name} has no {plugin.name} image with {what}")
        return Selection(record, 1, self.publisher_did(record))

    def by_data_id(self, plugin: DatasetPlugin, data_id: DataId) -> ImageRecord | None:
        """Return the image of a data id, None if there is none.

        Raises
        ------
        UsageFault
            Raised if the data id is not complete or not valid.
        """
        data_id = plugin.declaration.check_data_id(data_id)
        record = self.registry.by_science_id(plugin.name, plugin.science_id(data_id))
        if record is not None and dict(record.data_id) != dict(data_id):
            return None  # two data ids with one hashed science id
        return record

    def _closest(self, plugin: DatasetPlugin, place: ByPosition, wait: bool) -> Selection:
        ra, dec, band = place.ra, place.dec, place.band
        records = [
            record
            for record in self.registry.containing(plugin.name, band, ra, dec)
            if record.footprint is None or record.footprint.exact or self._reaches(record, ra, dec, wait)
        ]
        if records:
            return Selection(records[0], len(records), self.publisher_did(records[0]))
        which = plugin.name if band is None else f"{plugin.name} {band}"
        nearest = self.registry.nearest(plugin.name, band, ra, dec)
        if nearest is None:
            raise NotFoundFault(f"{self.name} has no {which} image with a position on the sky")
        record, distance = nearest
        if place.anywhere:
            return Selection(record, 0, self.publisher_did(record))
        raise NotFoundFault(
            f"no {which} image of {self.name} contains ra {ra:g}, dec {dec:g}; the centre of the nearest one,"
            f" {self.publisher_did(record)}, is {distance:.4g} deg away"
        )

    def _reaches(self, record: ImageRecord, ra: float, dec: float, wait: bool) -> bool:
        """Tell by the WCS whether an image has a point, for a footprint that is only a cover."""
        if not wait:
            raise WouldWait
        try:
            return _shows(self.open(record), ra, dec)
        except (UnavailableFault, UnsupportedFault):
            return False  # one file that is gone does not keep others from being found

    def open(self, record: ImageRecord, *, wait: bool = True) -> OpenImage:
        """Return an image opened for cutting.

        An image one of whose files changed since it was ingested is examined anew: it is never cut by an old layout.

        Parameters
        ----------
        wait
            Whether it may be opened now; else only one that is open already is given.

        Raises
        ------
        WouldWait
            Raised if it is not open.
        UnavailableFault
            Raised if a file is gone, or no longer holds this image.
        """
        states: list[object] = [record.file.path, self._state(record.file.path)]
        for other in record.beside:
            states += [other.path, self._state(other.path)]
        # A link may lead elsewhere, a file may be another by now: then it is looked at anew.
        key = (self.name, record.dataset, record.science_id)
        if not wait:
            kept = self._open.kept(key, states)
            if kept is None:
                raise WouldWait
            return kept
        return self._open.get(key, states, lambda: self._opened(record, self._stamp(record.file.path)))

    def _state(self, path: str) -> tuple[int, int, int, int]:
        try:
            return self._files.state(path)
        except OSError as error:
            raise _unreadable(path, error) from error

    def _opened(self, record: ImageRecord, stamp: FileStamp) -> OpenImage:
        unchanged = stamp == record.file and all(self._stamp(file.path) == file for file in record.beside)
        blob = self.registry.layout(record.dataset, record.file) if unchanged else None
        if blob is not None:
            layout = Layout.from_packed(blob, self._packer(record.dataset))
        else:
            known = record
            record, layout = self._examined_again(known)
            if [file.path for file in record.beside] != [file.path for file in known.beside]:
                raise UnavailableFault(f"planes of {stamp.path} are in other files than when it was ingested")
        beside = {file.path: self._opened_beside(record, file) for file in record.beside}
        try:
            path = self._files.plain(stamp, packed=layout.packed)
            return OpenImage(record, layout, path, self._limits, self._open.tiles, beside)
        except (OSError, FitsFault) as error:
            raise _unreadable(stamp.path, error) from error

    def _packer(self, dataset: str) -> Packer:
        packer = self._packers.get(dataset)
        if packer is None:
            packer = self._packers[dataset] = Packer(self.registry.pattern(dataset) or b"")
        return packer

    def _opened_beside(self, record: ImageRecord, stamp: FileStamp) -> OpenImage:
        """Open another file of an image, for the planes that it holds."""
        try:
            layout = CandidateFile(self._files, stamp.path, self._limits).layout
            if self._stamp(stamp.path) != stamp:
                raise UnavailableFault(f"{stamp.path} is being changed")
            planes = tuple(Plane(plane.name, plane.hdu) for plane in record.planes if plane.file == stamp)
            part = replace(record, file=stamp, planes=planes)
            path = self._files.plain(stamp, packed=layout.packed)
            return OpenImage(part, layout, path, self._limits, self._open.tiles)
        except (OSError, FitsFault) as error:
            raise _unreadable(stamp.path, error) from error

    def _examined_again(self, record: ImageRecord) -> tuple[ImageRecord, Layout]:
        gone = f"{record.file.path} has changed since it was ingested, and no longer holds this image"
        try:
            file = CandidateFile(self._files, record.file.path, self._limits)
            examined = examine(self.datasets[record.dataset], file)
        except FitsFault as fault:
            raise UnavailableFault(f"{gone}: {fault.message}") from fault
        if examined is not None:
            for image in examined.images:
                if image.science_id == record.science_id:
                    return image, examined.layout
        raise UnavailableFault(gone)

    def _stamp(self, path: str) -> FileStamp:
        try:
            return self._files.stamp(path)
        except (OSError, FitsFault) as error:
            raise _unreadable(path, error) from error

    def cutout(self, selection: Selection, request: CutoutRequest, *, wait: bool = True) -> CutoutAnswer:
        """Cut an image and write the answer; raises what `prepare` and `PreparedCutout.write` do."""
        prepared = self.prepare(selection, request, wait=wait)
        record, as_tiles = prepared.selection.record, prepared.cutout.as_tiles
        return CutoutAnswer(prepared.write(wait=wait), prepared.report, record, as_tiles)

    def prepare(self, selection: Selection, request: CutoutRequest, *, wait: bool = True) -> PreparedCutout:
        """Plan a cutout: no pixel is read yet.

        Parameters
        ----------
        wait
            Whether it may take a while: to open the image, to find and open others, to decode it.

        Raises
        ------
        WouldWait
            Raised if it would, and may not.
        NoOverlapFault
            Raised if the image has no pixel that was asked for.
        LimitFault
            Raised if there are too many.
        UsageFault
            Raised if the request does not fit this image: a section of more axes than it has.
        UnsupportedFault
            Raised if this image cannot be cut.
        UnavailableFault
            Raised if its file cannot be read.
        """
        if not (wait or request.plain):
            raise WouldWait
        image = self.open(selection.record, wait=wait)
        if not wait and (image.compressed or image.beside):
            raise WouldWait
        plugin = self.datasets[selection.record.dataset]
        neighbours = Neighbours(self, plugin, wait=wait)
        cutout = plugin.cutout(image, request, neighbours)
        report = Report(
            selection.publisher_did,
            cutout.requested,
            cutout.delivered,
            selection.candidates,
            tuple([(self.publisher_did(source.record), source) for source in cutout.sources]),
        )
        if neighbours.asked or image.record is not selection.record:
            others = tuple(record for record in neighbours.opened if record.science_id != image.record.science_id)
            selection = selection._replace(record=image.record, others=others if neighbours.asked else None)
        return PreparedCutout(image, cutout, report, selection)

    def cutout_headers(self, selection: Selection, request: CutoutRequest) -> str:
        """Return the headers that a cutout would have, as text, a card a line; raises what `cutout` does."""
        prepared = self.prepare(selection, request)
        return write_headers(prepared.cutout, prepared.report.cards())

    def headers(self, selection: Selection) -> str:
        """Return the headers of an image's file, as text, a card a line.

        Raises
        ------
        UnavailableFault
            Raised if the file cannot be read.
        """
        return header_text(hdu.header for hdu in self.open(selection.record).layout.hdus)

    def whole(self, selection: Selection) -> StoredFile:
        """Return the stored file of an image, unpacked.

        Raises
        ------
        UnavailableFault
            Raised if it cannot be read, or no longer holds the image.
        """
        record = selection.record
        stamp = self._stamp(record.file.path)
        if stamp != record.file:
            record, _ = self._examined_again(record)  # is it still this image?
        try:
            packed = self._files.is_packed(stamp.path)
            path = self._files.plain(stamp, packed=packed)
            size = path.stat().st_size
        except (OSError, FitsFault) as error:
            raise _unreadable(stamp.path, error) from error
        name = os.path.basename(stamp.path)
        if packed:
            name = name.removesuffix(".gz").removesuffix(".GZ")
        return StoredFile(path, size, stamp.mtime_ns / 1e9, name, record.shape)

    def check(self) -> None:
        """Look whether the repository can be read: its root, its registry, and one of its files.

        Raises
        ------
        UnavailableFault
            Raised if it cannot; the message says what is wrong.
        """
        if not os.access(self._config.root, os.R_OK | os.X_OK):
            raise UnavailableFault(f"{self.name}: its files cannot be read")
        self.registry.check()
        faults: list[UnavailableFault] = []
        for sample in self.registry.some_files(_SAMPLES):
            try:
                self._stamp(sample.path)
                return
            except UnavailableFault as fault:  # one file may be missing; that all are is another matter
                faults.append(fault)
        if faults:
            raise UnavailableFault(f"{self.name}: {faults[0].message}") from faults[0]

    def audit(self) -> Iterator[tuple[str, str, str]]:
        """Hold the registry against the files, and yield what does not agree: dataset, path, and what is the matter."""
        paths = walk(self._config.root).files
        for plugin in self.datasets.values():
            known = {row.stamp.path: row for row in self.registry.files(plugin.name)}
            for path in sorted(known.keys() - set(paths)):
                yield plugin.name, path, "gone since it was ingested"
            for path in paths:
                row = known.get(path)
                if row is None:
                    if examines(plugin, CandidateFile(self._files, path, self._limits)):
                        yield plugin.name, path, "not ingested yet"
                elif row.status == "taken" and stamp_of(self._files, path) != row.stamp:
                    yield plugin.name, path, "changed since it was ingested"
                elif row.status == "taken" and (other := changed_beside(self._files, row.recipe)) is not None:
                    yield plugin.name, path, f"read with {other}, which changed since it was ingested"

    def ingest(self, dataset: str | None, progress: Progress) -> list[Summary]:
        """Bring the registry up to date with the files, for all datasets or one.

        Raises
        ------
        NotFoundFault
            Raised if there is no such dataset.
        ConfigurationFault
            Raised if the root is no folder, or another ingest of this repository runs.
        """
        plugins = list(self.datasets.values()) if dataset is None else [self.dataset(dataset)]
        recipes = {
            plugin.name: recipe(plugin, self._config.datasets[plugin.name].options, self._limits) for plugin in plugins
        }
        lock = self._config.registry.with_suffix(".lock")
        return Ingest(self._files, self.registry, recipes, self._limits, lock).run(plugins, progress)


def _shows(image: OpenImage, ra: float, dec: float) -> bool:
    pixel = image.wcs.to_pixel(ra, dec)
    return pixel is not None and all(
        -0.5 <= at < length - 0.5 for at, length in zip(pixel, image.record.shape, strict=True)
    )


def _has_pixel(shape: Shape, image: OpenImage) -> bool:
    center = region(shape).center
    if contains(shape, center) and _shows(image, *vector_to_degrees(center.tolist())):
        return True  # the usual case, and found far quicker than all pixels
    try:
        reach(shape, image.wcs, *image.record.shape)
    except NoOverlapFault:
        return False
    return True


def _unreadable(path: str, error: OSError | FitsFault) -> UnavailableFault:
    reason = error.message if isinstance(error, FitsFault) else error.strerror or str(error)
    return UnavailableFault(f"the image's file {path} cannot be read: {reason}")
