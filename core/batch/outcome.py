"""What a batch tells of itself: what it may do, what it is expected to take, what it has done."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """What one job may do, at the most.

    Attributes
    ----------
    max_results
        Results that are files of their own.
    max_rows
        Results in a tar, and rows of a catalogue.
    max_bytes
        Of all results.
    max_upload_bytes
        Of an uploaded table.
    """

    max_results: int = 10_000
    max_rows: int = 1_000_000
    max_bytes: int = 100_000_000_000
    max_upload_bytes: int = 268_435_456


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a job is expected to take: bytes of all results, and seconds of one worker."""

    bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Done:
    """What a step left: results, their bytes, and how many of them only say why there is no cutout."""

    results: int
    bytes: int
    failed: int


@dataclass(frozen=True, slots=True)
class ResultFile:
    """A file that a job left: its name, of ``[A-Za-z0-9._-]`` only, its media type, and its bytes."""

    name: str
    media_type: str
    size: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a job left.

    Attributes
    ----------
    results
        Below ``results/``, in the order in which they were asked for. Of a job
        that packs them: the tar, and the manifest's files.
    manifest
        Below ``manifest/``, of every job: a VOTable and JSON, a row for each result.
    """

    results: tuple[ResultFile, ...]
    manifest: tuple[ResultFile, ...]
