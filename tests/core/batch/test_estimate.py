"""Estimates: near enough to what comes of a job to plan steps by, and to tell a client when it will end."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from imageserv.core.service import Service

SDSS = "ivo://example.org/DC_W13_Stripe82"
RA, DEC = 37.64516, 0.10322
RAWS = [("ID", f"{SDSS}?raw/5646/4/694/{band}") for band in "gr"]
CALEXP = [("ID", f"{SDSS}?calexp/5646/4/694/g")]


@pytest.mark.parametrize(
    "pairs",
    [
        RAWS,
        [*RAWS, ("PIXELS", "[1:40,1:30]")],
        [*RAWS, ("PIXELS", "[1:40,*]"), ("PIXELS", "[*,11:400]")],
        [*RAWS, ("CIRCLE", f"{RA} {DEC} 0.002")],
        [*RAWS, ("POS", f"RANGE {RA - 0.001} {RA + 0.001} {DEC - 0.001} {DEC + 0.001}")],
        [*RAWS, ("BAND", "1e-7 1e-6"), ("BAND", "1e-8 1e-6"), ("PIXELS", "[1:40,1:30]")],
        [*CALEXP, ("CIRCLE", f"{RA} {DEC} 0.001")],
        [*CALEXP, ("CIRCLE", f"{RA} {DEC} 0.002"), ("DETAIL", "image")],
        [("ID", f"{SDSS}?raw/1/1/1/g")],
    ],
)
def test_the_bytes_of_a_job_are_guessed(jobs: Any, pairs: list[tuple[str, str]]) -> None:
    batch, _ = jobs.make(pairs)
    size = sum(row["size"] for row in jobs.run(pairs).rows)
    assert size / 3 < batch.estimate.bytes < 3 * size
    assert batch.estimate.seconds > 0


def test_what_comes_of_a_compressed_image_is_guessed(
    root: Path, sketches: Callable[..., Service], jobs_of: Callable[[Service], Any]
) -> None:
    sky = np.random.default_rng(4).normal(100, 5, (600, 500)).astype("f4")
    compressed: Any = fits.CompImageHDU(sky, compression_type="RICE_1", quantize_level=0.5)
    compressed.writeto(root / "tiled.fits")
    assert (root / "tiled.fits").stat().st_size < sky.nbytes / 4
    jobs = jobs_of(sketches({"image": "image"}))
    pairs = [("ID", "ivo://example.org/SKY?image/tiled.fits"), ("PIXELS", "[1:400,1:500]")]
    batch, _ = jobs.make(pairs)
    (row,) = jobs.run(pairs).rows
    assert row["size"] / 3 < batch.estimate.bytes < 3 * row["size"]


@pytest.mark.parametrize("row", [f"{RA},{DEC},5", f"{RA},{DEC},"])
def test_the_bytes_of_a_catalogue_are_guessed(jobs: Any, row: str, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("ra,dec,width\n" + f"{row}\n" * 20)
    pairs = [("ds", "raw"), ("filter", "g"), ("height", "5"), ("unit", "pixel"), ("width", "30")]
    batch, _ = jobs.make(pairs, table)
    size = sum(each["size"] for each in jobs.run(pairs, table).rows)
    assert size / 3 < batch.estimate.bytes < 3 * size


def test_steps_are_short_where_results_are_large(jobs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [*RAWS, *(("PIXELS", f"[1:{width},1:40]") for width in range(1, 41))]
    few, _ = jobs.make(pairs)
    monkeypatch.setattr("imageserv.core.batch.estimate._PER_BYTE", 1e-5)
    many, _ = jobs.make(pairs)
    assert few.total == many.total == 80
    assert few.steps < many.steps <= 80
    assert many.estimate.seconds > few.estimate.seconds
