"""What several pages about protocols have."""

from collections.abc import Iterable, Sequence

from imageserv.core.dali.documents import Element
from imageserv.core.dali.parameters import Parameter

from .html import table, tag


def at(url: str, methods: str) -> Element:
    """Write where a service is."""
    return tag("p", tag("code", url), f" ({methods})")


def parameter_table(parameters: Iterable[Parameter]) -> Element:
    """Write what a service takes."""
    return table(
        ("parameter", "values", "meaning"),
        [(each.name, _values(each), each.description) for each in parameters],
    )


def _values(parameter: Parameter) -> str:
    """Describe the values of a parameter in a few words."""
    parts: Sequence[str]
    if parameter.options:
        return ", ".join(parameter.options)
    if parameter.xtype:
        parts = (parameter.xtype, f"in {parameter.unit}" if parameter.unit else "")
    else:
        parts = ({"double": "number", "int": "integer", "long": "integer"}.get(parameter.datatype, "text"),)
    example = f", such as {parameter.example}" if parameter.example else ""
    return " ".join(filter(None, parts)) + example
