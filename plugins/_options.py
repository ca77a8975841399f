"""A dataset's table in the configuration; whoever loads the plugin says whose table it is."""

from collections.abc import Mapping, Sequence

from imageserv.core.dataset import Key
from imageserv.core.errors import ConfigurationFault
from imageserv.core.patterns import FilePattern, compile_patterns


def check_options(options: Mapping[str, object], known: Sequence[str]) -> None:
    """Refuse options that a dataset does not know.

    Raises
    ------
    ConfigurationFault
        Raised if there is one; the message names it and lists what is known.
    """
    if unknown := sorted(set(options) - set(known)):
        raise ConfigurationFault(f"unknown option {unknown[0]!r}; it takes {', '.join(known)}")


def file_patterns(
    options: Mapping[str, object], default: Sequence[str], keys: Sequence[Key]
) -> tuple[FilePattern, ...]:
    """Compile the templates of the option ``files``, or the default ones.

    Raises
    ------
    ConfigurationFault
        Raised if the option is no list of templates that mention every key.
    """
    templates = options.get("files", default)
    if isinstance(templates, str) or not isinstance(templates, Sequence) or not templates:
        raise ConfigurationFault(f"files is a list of templates, not {templates!r}")
    for template in templates:
        if not isinstance(template, str):
            raise ConfigurationFault(f"files holds {template!r}, which is no template")
    return compile_patterns(templates, keys)
