"""All tests of a dataset plugin, in one class."""

from .cutouts import CutoutTests
from .declaration import DeclarationTests
from .ids import IdTests
from .mosaics import MosaicTests
from .protocols import ProtocolTests
from .recognition import RecognitionTests


# pytest runs the tests of the last base first: what a plugin declares comes before what services make of it.
class DatasetContract(ProtocolTests, MosaicTests, CutoutTests, RecognitionTests, IdTests, DeclarationTests):
    """What a dataset plugin must do. Subclass it, name the plugin, and give a fixture ``survey``.

    A subclass sets the attributes of `imageserv.core.testing.flags.Flags`, and overrides no test: a test that may be
    put aside proves nothing.
    """

    def __init_subclass__(cls) -> None:
        """Refuse subclasses that put tests aside."""
        super().__init_subclass__()
        for name in vars(cls):
            if name.startswith("test_") and hasattr(DatasetContract, name):
                raise TypeError(f"{cls.__name__} overrides {name}: say by a flag what the dataset cannot do")
