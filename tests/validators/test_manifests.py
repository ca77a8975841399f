"""Manifests of jobs: STILTS finds nothing to complain of, whatever clients call things."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from imageserv.core.batch import Batch, BatchLimits

AWKWARD = ("<&>\"' étoile \t %26", "]]>", "\u0001 and \ud7ff", "日本 'x'", "")


@pytest.fixture
def manifest(archive: Any, tmp_path: Path) -> Path:
    """Write the manifest of a job that asks for everything there is, and for what there is not."""
    identifiers = [*archive.ids, *AWKWARD]
    pairs = [("ID", each) for each in identifiers] + [("PIXELS", "[1:3,2:3]"), ("CIRCLE", "10 20 0.01")]
    batch = Batch(archive.service, pairs, {}, tmp_path, BatchLimits(), lambda repository, dataset: None)
    for step in range(batch.steps):
        batch.run(step, lambda: False)
    batch.finish()
    return tmp_path / "manifest" / "manifest.vot"


def test_votlint_and_the_schema_accept_manifests(
    manifest: Path, stilts: Callable[..., str], votable_schema: etree.XMLSchema
) -> None:
    votable_schema.assertValid(etree.parse(str(manifest)))
    said = stilts("votlint", "ucd=true", "unit=true", f"votable={manifest}")
    assert re.findall(r"^(?:ERROR|WARNING|Error|INFO).*", said, re.MULTILINE) == [], said


def test_a_job_of_a_catalogue_is_accepted_too(archive: Any, tmp_path: Path, stilts: Callable[..., str]) -> None:
    table = tmp_path / "table.csv"
    lines = [f'"{each.replace(chr(34), chr(34) * 2)}",10,20' for each in AWKWARD]
    table.write_text("\n".join(["name,ra,dec", *lines]), encoding="utf-8")
    pairs = [("UPLOAD", "t,param:t"), ("radius", "0.001"), ("ds", "image"), ("collection", "SKY")]
    batch = Batch(archive.service, pairs, {"t": table}, tmp_path, BatchLimits(), lambda repository, dataset: None)
    for step in range(batch.steps):
        batch.run(step, lambda: False)
    assert len(batch.finish().results) == 3
    said = stilts("votlint", f"votable={tmp_path / 'manifest' / 'manifest.vot'}")
    assert re.findall(r"^(?:ERROR|WARNING|Error|INFO).*", said, re.MULTILINE) == [], said
