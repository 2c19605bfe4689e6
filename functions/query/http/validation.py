"""Reads a question out of a request: every parameter is checked, every fault told."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from query.http import problems
from query.http.problems import InvalidParameter

SHOWN = 100  # characters of a wrong value that are said back


def parse_parameters[T: Struct](question: type[T], given: Mapping[str, Sequence[str]]) -> T:
    """A question from the parameters of a path and a query.

    Args:
        question: its class.
        given: the values of each parameter, as text.

    Raises:
        ProblemError: 400 that names every parameter that is missing, unknown or not allowed.
    """
    lists = {field.name for field in msgspec.structs.fields(question) if is_list(field.type)}
    repeated = [
        InvalidParameter(name, "it is given more than once", "one value", _shown(values))
        for name, values in given.items()
        if len(values) > 1 and name not in lists
    ]
    if repeated:
        raise problems.bad_request(*repeated)
    values = {name: all if name in lists else all[0] for name, all in given.items()}
    return _read(question, values, strict=False)


def parse_json[T: Struct](question: type[T], body: bytes) -> T:
    """A question from the JSON object of a body.

    Raises:
        ProblemError: 400 that names everything in it that is missing, unknown or not allowed.
    """
    try:
        values = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise problems.bad_request(
            InvalidParameter("body", f"it is no JSON: {error}", "a JSON object")
        ) from error
    if not isinstance(values, dict):
        fault = InvalidParameter("body", "it is no JSON object", "a JSON object", _shown(values))
        raise problems.bad_request(fault)
    return _read(question, values, strict=True)


def _read[T: Struct](question: type[T], values: Mapping[str, Any], *, strict: bool) -> T:
    fields = {field.name: field for field in msgspec.structs.fields(question)}
    named = ", ".join(fields) or "none"
    faults = [
        InvalidParameter(name, "there is no such parameter", named, _shown(value))
        for name, value in values.items()
        if name not in fields
    ]
    read: dict[str, Any] = {}
    for name, field in fields.items():
        if name in values:
            try:
                read[name] = msgspec.convert(values[name], field.type, strict=strict)
            except msgspec.ValidationError as error:
                said = str(error).replace("`", "")
                faults.append(
                    InvalidParameter(name, said, allowed(field.type), _shown(values[name]))
                )
        elif field.required:
            faults.append(InvalidParameter(name, "it is required", allowed(field.type)))
    if faults:
        raise problems.bad_request(*faults)
    return question(**read)


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))[:SHOWN]
    return str(value)[:SHOWN]


def is_list(kind: Any) -> bool:
    """Whether a parameter of this type may be given more than once."""
    return msgspec.json.schema(kind).get("type") == "array"


def allowed(kind: Any) -> str:
    """What a type allows, in words."""
    return _words(msgspec.json.schema(kind))


def _words(schema: Mapping[str, Any]) -> str:
    match schema["type"]:
        case "array":
            return f"up to {schema['maxItems']}, each {_words(schema['items'])}"
        case "string" if "maxLength" in schema:
            return f"a text of {schema['minLength']} to {schema['maxLength']} characters"
        case "string":
            return "a text"
        case kind:
            article = "an" if kind == "integer" else "a"
            return f"{article} {kind} from {schema['minimum']:.10g} to {schema['maximum']:.10g}"
