"""The records that were read last, by the numbers of their images.

A number is given once, and its row is never changed (`imageserv.core.registry.schema`): what was read of it stays true,
whatever ingest does meanwhile.
"""

from imageserv.core.record import ImageRecord


class Recent:
    """Some records: those that were asked for last, and as many before them.

    Parameters
    ----------
    most
        After how many new ones the older half is forgotten.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._young: dict[int, ImageRecord] = {}
        self._old: dict[int, ImageRecord] = {}

    def get(self, number: int) -> ImageRecord | None:
        """Return the record of a number, None if it is not here."""
        record = self._young.get(number)
        if record is None and (record := self._old.get(number)) is not None:
            self.put(number, record)
        return record

    def put(self, number: int, record: ImageRecord) -> None:
        """Keep a record."""
        if len(self._young) >= self._most:
            self._old, self._young = self._young, {}
        self._young[number] = record
