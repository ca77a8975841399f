"""What a plugin says of its dataset."""

import re
from pathlib import Path

import pytest

from imageserv.core.dataset import Key
from imageserv.core.errors import ConfigurationFault, UsageFault

from .archive import Archive
from .flags import Flags

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


class DeclarationTests(Flags):
    """The declaration is whole, and written for people."""

    def test_the_plugin_can_be_loaded(self, imageserv_archive: Archive) -> None:
        """It is installed once, has every hook that is required, and no hook that is misspelt."""
        assert imageserv_archive.dataset.plugin == self.plugin

    def test_unknown_options_are_refused(self, imageserv_archive: Archive, tmp_path: Path) -> None:
        """Else a misspelt option would go unnoticed."""
        archive = Archive(self.plugin, {**self.options, "no_such_option": 1}, imageserv_archive.root, tmp_path)
        with pytest.raises(ConfigurationFault):
            assert archive.repository, "the plugin takes an option that it cannot know: raise ConfigurationFault"

    def test_keys_are_described(self, imageserv_archive: Archive) -> None:
        """Documents for people and for machines are made of these texts."""
        declaration = imageserv_archive.declaration
        assert declaration.description.strip(), "say in one sentence what the dataset is"
        assert declaration.keys, "a dataset without keys has no data ids"
        for name, description in [
            *((key.name, key.description) for key in declaration.keys),
            *((part.name, part.description) for key in declaration.keys for part in key.parts),
            *((parameter.name, parameter.description) for parameter in declaration.parameters),
        ]:
            assert _NAME.fullmatch(name), f"{name!r} cannot be the name of a parameter"
            assert description.strip(), f"{name} has no description"

    def test_key_names_are_told_apart(self, imageserv_archive: Archive) -> None:
        """Names are compared without case."""
        declaration = imageserv_archive.declaration
        names = [name for key in declaration.keys for name in {key.name, *(part.name for part in key.parts)}]
        spelt = [name.lower() for name in names]
        assert len(set(spelt)) == len(spelt), f"two of the keys {', '.join(names)} have one name"

    def test_key_examples_are_values(self, imageserv_archive: Archive) -> None:
        """The example of a key is one of its values."""
        for key in _with_parts(imageserv_archive.declaration.keys):
            if key.example:
                try:
                    key.parse(key.example)
                except UsageFault as fault:
                    raise AssertionError(f"the example of {key.name} is no value of it: {fault}") from fault

    def test_bands_are_the_choices_of_the_band_key(self, imageserv_archive: Archive) -> None:
        """A search by wavelength finds what a search by filter does."""
        declaration = imageserv_archive.declaration
        names = [band.name for band in declaration.bands]
        assert len(set(names)) == len(names), f"two bands have one name: {', '.join(names)}"
        for band in declaration.bands:
            assert 0 < band.em_min < band.em_max, f"band {band.name}: em_min and em_max are wavelengths in metres"
        if declaration.band_key is None:
            return
        key = declaration.key(declaration.band_key)
        assert key is not None and key.choices, f"the band key {declaration.band_key} needs choices"
        if names:
            assert set(names) == set(key.choices), f"bands are {names}, the choices of {key.name} {list(key.choices)}"

    def test_planes_are_named(self, imageserv_archive: Archive) -> None:
        """The science plane comes first."""
        planes = imageserv_archive.declaration.planes
        assert planes and all(planes), "an image has one plane at least, and each has a name"
        assert len(set(planes)) == len(planes), f"two planes have one name: {', '.join(planes)}"

    def test_the_calibration_level_is_one(self, imageserv_archive: Archive) -> None:
        """ObsCore 1.1 section 3.3.2 has five."""
        assert imageserv_archive.declaration.calib_level in range(5)

    def test_own_parameters_are_read(self, imageserv_archive: Archive) -> None:
        """What a client may send is read, or refused in words."""
        for parameter in imageserv_archive.declaration.parameters:
            if parameter.example:
                try:
                    parameter.parse(parameter.example)
                except (ValueError, UsageFault) as error:
                    raise AssertionError(f"the example of {parameter.name} is refused: {error}") from error
            for text in ("☃", "-1", "1e400", "x" * 1000):
                try:
                    parameter.parse(text)
                except (ValueError, UsageFault):
                    continue
                except Exception as error:
                    raise AssertionError(
                        f"{parameter.name}={text[:10]} raises {error!r}: raise ValueError that says what would be right"
                    ) from error


def _with_parts(keys: tuple[Key, ...]) -> list[Key]:
    return [one for key in keys for one in (key, *key.parts)]
