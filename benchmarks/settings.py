"""How much is measured."""

from dataclasses import dataclass, replace

from .rounds import Effort


@dataclass(frozen=True, slots=True)
class Settings:
    """Sizes of everything.

    Attributes
    ----------
    effort
        Of timings within this process.
    load_rounds, load_seconds
        Of load on services.
    images
        In registries, as many as each of these.
    crowd
        Images of the registry that services and memory are measured with.
    files
        Read by ingest.
    open_images
        Of a worker whose memory is looked at.
    gigabytes
        Of the large file that is sent.
    rows
        Of a job's catalogue.
    """

    effort: Effort
    load_rounds: int
    load_seconds: int
    images: tuple[int, ...]
    crowd: int
    files: int
    open_images: int
    gigabytes: int
    rows: int


QUICK = Settings(Effort(3, 0.1), 3, 1, (10_000, 100_000), 100_000, 200, 500, 1, 5_000)
USUAL = Settings(Effort(7, 0.5), 5, 4, (10_000, 100_000, 1_000_000), 1_000_000, 500, 2_000, 4, 100_000)
FULL = replace(USUAL, images=(*USUAL.images, 10_000_000), open_images=10_000)
