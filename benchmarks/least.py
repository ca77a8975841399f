"""The least that answers a cutout by position over HTTP: what a service would be that refuses and checks nothing."""

import json
import math
import os
import sqlite3
import time
from pathlib import Path
from urllib.parse import parse_qs

from .data import Frame, Place
from .floor import Floor

_CONTAINING = """
SELECT i.identifier, f.path FROM bands k CROSS JOIN boxes b ON b.band1 >= k.id AND b.band0 <= k.id
CROSS JOIN images i ON i.id = b.id JOIN files f ON f.id = i.file WHERE k.dataset = ? AND k.band = ?
AND b.x1 >= ? AND b.x0 <= ? AND b.y1 >= ? AND b.y0 <= ? AND b.z1 >= ? AND b.z0 <= ?
"""


class Least:
    """Cutouts of one file: the query read, its box looked up in our registry, the floor's cut, a line for the log.

    Parameters
    ----------
    frame
        The file.
    registry
        Of the repository that it is in.
    """

    def __init__(self, frame: Frame, registry: Path) -> None:
        self._registry = sqlite3.connect(f"{registry.absolute().as_uri()}?mode=ro", uri=True)
        self._floors = {
            detail: Floor(frame, planes, fresh=True) for detail, planes in (("image", 1), ("planes", len(frame.hdus)))
        }
        self._log = open(os.devnull, "w", encoding="utf-8")  # where the service's own goes, too

    def answer(self, query: bytes) -> memoryview:
        """Answer a request for a cutout by position, of pixels, as v1 takes it."""
        asked = {name: values[0] for name, values in parse_qs(query.decode()).items()}
        ra, dec = float(asked["ra"]), float(asked["dec"])
        lon, lat = math.radians(ra), math.radians(dec)
        x, y, z = math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat)
        place = (asked["ds"], asked["filter"], x, x, y, y, z, z)
        ((identifier, path),) = self._registry.execute(_CONTAINING, place).fetchall()
        answer = self._floors[asked["detail"]].cut(Place(ra, dec, 0.0, 0.0, int(asked["width"])))
        line = {"time": time.time(), "target": query.decode(), "image": identifier, "path": path, "bytes": len(answer)}
        self._log.write(json.dumps(line) + "\n")
        self._log.flush()
        return memoryview(answer)
