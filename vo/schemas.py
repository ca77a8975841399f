"""JSON Schemas of parameters' values, for OpenAPI documents, from the declarations by which requests are read."""

from typing import Any

from imageserv.core.dali.parameters import Parameter

_NUMBERS = {"int": "integer", "long": "integer", "float": "number", "double": "number"}


def value_schema(parameter: Parameter) -> dict[str, Any]:
    """Return the schema of one value of a parameter.

    Several numbers in one value, as DALI has intervals and circles, are a text to OpenAPI.
    """
    if parameter.datatype in _NUMBERS and not parameter.arraysize:
        schema: dict[str, Any] = {"type": _NUMBERS[parameter.datatype]}
        options: list[Any] = [int(option) if schema["type"] == "integer" else option for option in parameter.options]
    else:
        schema, options = {"type": "string"}, list(parameter.options)
    if options:
        schema["enum"] = options
    if parameter.example:
        schema["examples"] = [parameter.example]
    return schema


def query_parameter(parameter: Parameter, *, required: bool = False) -> dict[str, Any]:
    """Return a parameter as OpenAPI has it: one that may be repeated is an array."""
    schema = value_schema(parameter)
    unit = f" Unit: {parameter.unit}." if parameter.unit else ""
    return {
        "name": parameter.name,
        "in": "query",
        "required": required,
        "description": parameter.description + unit,
        "schema": {"type": "array", "items": schema} if parameter.multiple else schema,
    }
