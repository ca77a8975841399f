"""The plugin behind the protocols: v1, SIA2, DataLink and SODA, asked of a live service."""

import gzip
from typing import Any

import httpx
import pytest

from imageserv.core.record import ImageRecord
from imageserv.core.request import CutoutRequest
from imageserv.core.sky.caps import vector_to_degrees
from imageserv.core.sky.footprint import separation
from imageserv.core.sky.stencil import Box, Circle

from .archive import DATASET, REPOSITORY, Archive
from .flags import Flags
from .service import Document, LiveService, command


class ProtocolTests(Flags):
    """Every protocol answers from what the plugin declares."""

    def test_check_finds_nothing_wrong(self, imageserv_archive: Archive) -> None:
        """``imageserv check`` is content with plugin, registry and files."""
        assert imageserv_archive.images
        checked = command(["check", "--config", str(imageserv_archive.configuration)])
        assert checked.returncode == 0, checked.stdout + checked.stderr

    def test_v1_gives_files_by_their_ids(self, imageserv_service: LiveService) -> None:
        """The stored file, unpacked, by data id and by science id."""
        archive = imageserv_service.archive
        for image in archive.some:
            stored = (archive.root / image.file.path).read_bytes()
            if stored[:2] == b"\x1f\x8b":
                stored = gzip.decompress(stored)
            for names in (dict(image.data_id), {"sid": image.science_id}):
                response = _ok(imageserv_service.v1(ds=DATASET, **names))
                assert response.content == stored, f"{names} gives another file than {image.file.path}"

    def test_v1_translates_ids(self, imageserv_service: LiveService) -> None:
        """``get_dataid`` and ``get_ccdexpid``: one id from the other."""
        for image in imageserv_service.archive.some:
            data_id = _ok(imageserv_service.v1(ds=DATASET, get_dataid="", sid=image.science_id)).json()
            assert data_id == dict(image.data_id)
            science_id = _ok(imageserv_service.v1(ds=DATASET, get_ccdexpid="", **image.data_id)).json()
            assert science_id == image.science_id

    def test_v1_names_the_key_at_fault(self, imageserv_service: LiveService) -> None:
        """A key that is missing, or has a value that it cannot have, is named in the error document."""
        image, declaration = imageserv_service.archive.images[0], imageserv_service.archive.declaration
        for key in declaration.keys:
            rest = {name: value for name, value in image.data_id.items() if name != key.name}
            wrong = [{**rest, key.name: "no such value"}] if key.parts or key.type is int or key.choices else []
            # The first of the keys alone is no data id; without any key nothing is asked.
            for names in [rest, *wrong] if len(declaration.keys) > 1 else wrong:
                response = imageserv_service.v1(ds=DATASET, **names)
                assert response.status_code == 400, f"{names}: {response.status_code} {response.text[:300]}"
                spelt = {key.name, *(part.name for part in key.parts)}
                assert response.json().get("parameter") in spelt, f"{names}: {response.text[:300]}"

    def test_v1_finds_the_image_closest_to_a_place(self, imageserv_service: LiveService) -> None:
        """By the middle of an image and its filter one finds it, or one whose middle is as near."""
        archive = imageserv_service.archive
        for image in self._placed(archive):
            ra, dec = _center(image)
            response = _ok(imageserv_service.v1(ds=DATASET, ra=ra, dec=dec, **_band(archive, image)))
            parent = response.headers["x-imageserv-parent"]
            found = next(one for one in archive.images if archive.repository.publisher_did(one) == parent)
            assert found.band == image.band and _distance(found, image) < 1e-7, f"{parent} for {image.identifier}"

    def test_v1_cuts(self, imageserv_service: LiveService) -> None:
        """A cutout over HTTP is the very file that the core writes."""
        archive = imageserv_service.archive
        for image in self._placed(archive):
            ra, dec = _center(image)
            size = {"ra": ra, "dec": dec, "width": 11, "height": 7, "unit": "pixel"}
            response = _ok(imageserv_service.v1(ds=DATASET, sid=image.science_id, **size))
            expected = archive.cut(image, CutoutRequest(Box(ra, dec, 11, 7, "pixel"))).content
            assert response.content == bytes(expected), f"{image.identifier} is cut otherwise over HTTP"

    def test_examples_are_answered(self, imageserv_service: LiveService) -> None:
        """The requests that the declaration shows are right, whether or not there is such an image here."""
        for example in imageserv_service.archive.declaration.examples:
            response = imageserv_service.v1(ds=DATASET, **example.query)
            assert response.status_code in (200, 404), (
                f"{example.title}: {dict(example.query)} is answered {response.status_code}: {response.text[:300]}"
            )

    def test_capabilities_list_the_keys(self, imageserv_service: LiveService) -> None:
        """Clients learn from the service how the dataset's images are named."""
        document = _ok(imageserv_service.client.get("/api/image/v1/capabilities")).json()
        (dataset,) = document["repositories"][0]["datasets"]
        declaration = imageserv_service.archive.declaration
        assert [key["name"] for key in dataset["keys"]] == [key.name for key in declaration.keys]
        assert [band["name"] for band in dataset["filters"]] == [band.name for band in declaration.bands]

    def test_sia_finds_every_image(self, imageserv_service: LiveService) -> None:
        """A search by position finds an image, and says of it what the registry knows."""
        archive = imageserv_service.archive
        for image in self._placed(archive):
            ra, dec = _center(image)
            found = Document(imageserv_service.vo("sia", POS=f"CIRCLE {ra!r} {dec!r} 1e-5", COLLECTION=REPOSITORY))
            row = _row(found, archive.repository.publisher_did(image))
            assert int(row["calib_level"]) == archive.declaration.calib_level
            seen = image.observation
            for name in ("t_min", "t_max", "t_exptime", "em_min", "em_max"):
                value = getattr(seen, name)
                same = row[name] == "" if value is None else float(row[name]) == pytest.approx(value, rel=1e-9)
                assert same, f"{image.identifier}: {name} is {row[name]!r}, not {value}"
            assert row["instrument_name"] == (seen.instrument or "")

    def test_sia_tells_filters_apart(self, imageserv_service: LiveService) -> None:
        """A search by wavelength finds the images of its filter, and none of another far from it."""
        archive = imageserv_service.archive
        for image in archive.some:
            low, high = image.observation.em_min, image.observation.em_max
            if low is None or high is None:
                continue
            did = archive.repository.publisher_did(image)
            for wavelength, there in ((low + high) / 2, True), (high * 10, False), (low / 10, False):
                found = Document(imageserv_service.vo("sia", BAND=repr(wavelength), ID=did))
                assert (did in [row["obs_publisher_did"] for row in found.rows]) == there, (
                    f"{did} has wavelengths of {low} to {high} m, but BAND={wavelength} finds {len(found.rows)} images"
                )

    def test_links_lead_to_the_file_and_to_cutouts(self, imageserv_service: LiveService) -> None:
        """Each image has its file, of the size that is told, and a service that cuts it."""
        archive = imageserv_service.archive
        for image in archive.some:
            did = archive.repository.publisher_did(image)
            links = Document(imageserv_service.vo("links", ID=did))
            rows = {row["semantics"]: row for row in links.rows}
            assert set(rows) >= {"#this", "#cutout"}, f"{did}: {[row['error_message'] for row in links.rows]}"
            file = _ok(imageserv_service.client.get(rows["#this"]["access_url"]))
            assert len(file.content) == int(rows["#this"]["content_length"])
            assert rows["#cutout"]["service_def"] in links.services

    def test_descriptors_have_the_datasets_parameters(self, imageserv_service: LiveService) -> None:
        """The description of the cutout service has SODA's parameters, and those that the dataset adds."""
        archive = imageserv_service.archive
        for image in archive.some:
            did = archive.repository.publisher_did(image)
            names = {parameter.name for parameter in archive.declaration.parameters}
            names |= {"CIRCLE", "POLYGON"} if image.footprint is not None else set()
            services = Document(imageserv_service.vo("links", ID=did)).services
            assert services, f"{did}: there is no descriptor"
            for inputs in services.values():  # at once, and as a job
                assert inputs["ID"].get("value") == did
                assert names <= set(inputs), f"{did}: a descriptor lacks {sorted(names - set(inputs))}"

    def test_soda_cuts_circles(self, imageserv_service: LiveService) -> None:
        """The cutout of a circle over HTTP is the very file that the core writes."""
        archive = imageserv_service.archive
        for image in self._placed(archive):
            ra, dec = _center(image)
            radius = 4.5 * (image.pixel_scale or 1.0) / 3600
            did = archive.repository.publisher_did(image)
            response = _ok(imageserv_service.vo("sync", ID=did, CIRCLE=f"{ra!r} {dec!r} {radius!r}"))
            expected = archive.cut(image, CutoutRequest(Circle(ra, dec, radius))).content
            assert response.content == bytes(expected), f"{did} is cut otherwise over HTTP"

    def test_soda_says_that_there_is_nothing(self, imageserv_service: LiveService) -> None:
        """Where the image is not, there is no content (SODA 1.0 section 4.2)."""
        archive = imageserv_service.archive
        for image in self._placed(archive):
            ra, dec = _center(image)
            did = archive.repository.publisher_did(image)
            response = imageserv_service.vo("sync", ID=did, CIRCLE=f"{(ra + 180) % 360!r} {-dec!r} 0.001")
            assert (response.status_code, response.content) == (204, b""), f"{did}: {response.text[:300]}"

    def test_soda_takes_the_datasets_parameters(self, imageserv_service: LiveService) -> None:
        """Each parameter that the dataset adds is taken with the value of its example."""
        archive = imageserv_service.archive
        did = archive.repository.publisher_did(archive.images[0])
        for parameter in archive.declaration.parameters:
            assert parameter.example, f"the parameter {parameter.name} has no example: nobody can try it"
            response = imageserv_service.vo("sync", ID=did, PIXELS="[1:9,1:9]", **{parameter.name: parameter.example})
            assert response.status_code in (200, 400, 404), f"{parameter.name}: {response.text[:300]}"

    def test_nothing_failed(self, imageserv_service: LiveService) -> None:
        """The service's log tells of no failure of its own: this test comes after all that it served."""
        assert "Traceback" not in imageserv_service.log, imageserv_service.log

    def _placed(self, archive: Archive) -> list[ImageRecord]:
        if not self.has_positions:
            pytest.skip("has_positions = False: the images have no WCS")
        return [image for image in archive.some if image.footprint is not None]


def _ok(response: httpx.Response) -> httpx.Response:
    assert response.status_code == 200, f"{response.url} answers {response.status_code}: {response.text[:500]}"
    return response


def _row(document: Document, did: str) -> dict[str, str]:
    rows = [row for row in document.rows if row["obs_publisher_did"] == did]
    assert rows, f"{did} is not among the {len(document.rows)} images found"
    return rows[0]


def _center(image: ImageRecord) -> tuple[float, float]:
    assert image.footprint is not None
    return vector_to_degrees(image.footprint.center.tolist())


def _distance(one: ImageRecord, other: ImageRecord) -> float:
    assert one.footprint is not None and other.footprint is not None
    return float(separation(one.footprint.center, other.footprint.center))


def _band(archive: Archive, image: ImageRecord) -> dict[str, Any]:
    key = archive.declaration.band_key
    return {} if key is None else {key: image.band}
