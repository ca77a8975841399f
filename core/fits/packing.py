"""Headers as the registry has them: packed by what they have in common with those of other files of their dataset."""

import zstandard

_MOST = 1 << 17
"""Bytes of a pattern that count."""

_LEVEL = 1
"""Of zstd: where there is a pattern, higher ones take longer and save nothing."""


class Packer:
    """Packs bytes that are much like a pattern; any number of threads may unpack, one at a time pack.

    Parameters
    ----------
    pattern
        The like of what is packed. What was packed by one is unpacked by the same.
    """

    def __init__(self, pattern: bytes) -> None:
        self.pattern = pattern[:_MOST]
        self._shared = zstandard.ZstdCompressionDict(self.pattern, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
        self._shared.precompute_compress(level=_LEVEL)
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL, dict_data=self._shared, write_checksum=True)

    def pack(self, unpacked: bytes) -> bytes:
        """Return the bytes packed."""
        return self._compressor.compress(unpacked)

    def unpack(self, packed: bytes) -> bytes:
        """Return what was packed.

        Raises
        ------
        zstandard.ZstdError
            Raised if it is damaged, or was packed by another pattern: never are other bytes given.
        """
        return zstandard.ZstdDecompressor(dict_data=self._shared).decompress(packed)
