"""Recipes to copy: how an image of this very service is had with the programs that astronomers use."""

from collections.abc import Mapping

from imageserv.core.obscore import number
from imageserv.core.service import Service
from imageserv.vo.samples import middle, sample
from imageserv.vo.urls import Urls

_PYVO = """\
from io import BytesIO

import pyvo
from astropy.io import fits

service = pyvo.dal.SIA2Service("{vo}")
images = service.search(pos=({ra}, {dec}, 0.01))  # degrees: a circle
cutout = images[0].processed(circle=({ra}, {dec}, {radius}))
with fits.open(BytesIO(cutout.read())) as hdus:
    hdus.info()
"""

_CURL = """\
curl '{vo}/sia?POS=CIRCLE+{ra}+{dec}+0.01&RESPONSEFORMAT=csv'
curl -OJG {vo}/sync \\
    --data-urlencode 'ID={did}' \\
    --data-urlencode 'CIRCLE={ra} {dec} {radius}'
"""

_TOPCAT = """\
stilts cone serviceurl={vo}/sia servicetype=sia2 \\
    lon={ra} lat={dec} radius=0.01 omode=topcat
"""


def recipes(urls: Urls, service: Service, headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return recipes, each with the program's name, for the first image that has a place on the sky. Reads registries.

    There are none while there is no such image, or none that a client with these headers may have.
    """
    for repository in service.repositories.values():
        for dataset in repository.datasets:
            record = sample(repository, dataset, headers)
            place = None if record is None else middle(record)
            if record is None or place is None or record.pixel_scale is None:
                continue
            facts = {
                "vo": urls.vo("").rstrip("/"),
                "did": repository.publisher_did(record),
                "ra": number(place[0]),
                "dec": number(place[1]),
                "radius": number(float(f"{20 * record.pixel_scale / 3600:.2g}")),
            }
            return [
                ("Python, with pyvo", _PYVO.format(**facts)),
                ("curl", _CURL.format(**facts)),
                ("TOPCAT, by way of STILTS", _TOPCAT.format(**facts)),
            ]
    return []
