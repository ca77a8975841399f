"""astroquery, unchanged but for the addresses that it is given: IRSA's search, CADC's cutouts."""

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy import units as u
from astropy.config.paths import set_temp_cache
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.utils.data import import_file_to_cache
from pyvo.dal import SIA2Service
from pyvo.utils.vocabularies import get_vocabulary

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of other archives' modules
    from astroquery.cadc import CadcClass
    from astroquery.ipac.irsa import IrsaClass

# These ship no types.
deg: Any = u.deg
read_fits: Any = fits.open
place: Any = SkyCoord
service_at: Any = SIA2Service
cadc_at: Any = CadcClass
irsa_at: Any = IrsaClass
vocabulary: Any = get_vocabulary
into_cache: Any = import_file_to_cache


@pytest.fixture
def irsa(base: str) -> Any:
    archive = irsa_at()
    archive.sia_url = base
    return archive


@pytest.fixture
def datalink_vocabulary(tmp_path: Path) -> Iterator[None]:
    """Have the terms that pyvo would fetch from the IVOA in the cache where it keeps them."""
    terms: dict[str, Any] = {name: {"label": name, "narrower": []} for name in ("this", "cutout", "proc")}
    terms["proc"]["narrower"] = ["cutout"]
    stored = tmp_path / "datalink-core.json"
    stored.write_text(json.dumps({"terms": terms}))
    (tmp_path / "cache").mkdir()
    with set_temp_cache(tmp_path / "cache"):
        into_cache("http://www.ivoa.net/rdf/datalink/core", str(stored))
        vocabulary.cache_clear()
        yield
    vocabulary.cache_clear()


def test_irsa_searches_by_place(site: Any, irsa: Any) -> None:
    table = irsa.query_sia(pos=(place(0.0, 10.0, unit="deg"), 36 * u.arcsec))
    assert set(table["target_name"]) == {"zero", "plate", "galaxy"}
    assert set(table["obs_publisher_did"]) == {site.dids[name] for name in table["target_name"]}


def test_irsa_searches_by_all_else(irsa: Any) -> None:
    table = irsa.query_sia(collection="STRIPE", band=6e-7, calib_level=[2, 3], maxrec=5)
    assert set(table["target_name"]) == {"calexp-r", "coadd-r"}
    assert len(irsa.query_sia(collection="NOWHERE")) == 0


@pytest.mark.parametrize(
    ("name", "ra", "dec"), [("zero", 0.0, 10.0), ("a name", 190.0, 60.0), ("calexp-r", 37.6, 0.1), ("tiles", 240, 60)]
)
def test_cadc_cuts_one_image(site: Any, datalink_vocabulary: None, name: str, ra: float, dec: float) -> None:
    archive = cadc_at(url=site.url)
    archive._data_link_url = f"{site.url}/links"
    found = {"publisherID": [site.dids[name]]}
    (address,) = archive.get_image_list(found, place(ra, dec, unit="deg"), 0.003 * deg)
    with read_fits(address) as hdus:
        science = next(hdu for hdu in hdus if hdu.data is not None)
        assert 1 <= np.max(science.data.shape) <= 8
        assert site.place(name, np.array(science.data))


def test_the_dataset_by_its_meaning(site: Any, datalink_vocabulary: None) -> None:
    # pyvo asks the IVOA for the terms of DataLink first.
    (row,) = service_at(site.url).search(target_name="packed")
    content: bytes = row.getdataset().read()
    assert site.window("packed", content) == ((0, 30), (0, 20))
    (link,) = row.getdatalink().bysemantics("#proc")
    assert link.semantics == "#cutout"
    assert row.getdatalink().getdataset().read() == content
