"""Validates the parameters of a request and reports all that are invalid."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from query.http import problems
from query.http.problems import InvalidParameter

MAX_SHOWN = 100  # characters of an invalid value that the response repeats
_INTEGER = re.compile("-?[0-9]{1,20}")
_FORM = re.compile("str matching regex '.*'")  # `allowed` has an example of it


class Parameter(NamedTuple):
    """A field of a request model.

    Attributes:
        type: that values are converted to.
        is_required: whether it has no default.
        default: msgspec's NODEFAULT if it is required.
        schema: its JSON Schema.
    """

    type: Any
    is_required: bool
    default: Any
    schema: Mapping[str, Any]

    @property
    def is_list(self) -> bool:
        """Whether a query may repeat it."""
        return self.schema.get("type") == "array"

    def read(self, value: Any) -> Any:
        """A value of a query as its type wants it: msgspec leaves a text if it may be either."""
        if isinstance(value, list):
            return [self.read(each) for each in value]
        kinds = self.schema.get("items", self.schema).get("anyOf", ())
        may_be_integer = any(kind["type"] == "integer" for kind in kinds)
        return int(value) if may_be_integer and _INTEGER.fullmatch(value) else value


@cache
def parameters_of(model: type[Struct]) -> Mapping[str, Parameter]:
    """The parameters of a request model by name; their schemas are built once."""
    return {
        field.name: Parameter(
            field.type, field.required, field.default, msgspec.json.schema(field.type)
        )
        for field in msgspec.structs.fields(model)
    }


def parse_parameters[T: Struct](model: type[T], query: Mapping[str, Sequence[str]]) -> T:
    """A request from the parameters of its path and query.

    Args:
        model: the request's class.
        query: the values of each parameter.

    Raises:
        ProblemError: 400, with every parameter that is missing, unknown or invalid.
    """
    lists = {name for name, parameter in parameters_of(model).items() if parameter.is_list}
    repeated = [
        InvalidParameter(name, "given more than once", "one value", _shown(values))
        for name, values in query.items()
        if len(values) > 1 and name not in lists
    ]
    if repeated:
        raise problems.bad_request(*repeated)
    values = {name: all if name in lists else all[0] for name, all in query.items()}
    return _parse(model, values, strict=False)


def parse_json[T: Struct](model: type[T], body: bytes) -> T:
    """A request from the JSON object in its body.

    Raises:
        ProblemError: 400, with every field that is missing, unknown or invalid.
    """
    try:
        values = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        invalid = InvalidParameter("body", f"invalid JSON: {error}", "a JSON object")
        raise problems.bad_request(invalid) from error
    if not isinstance(values, dict):
        invalid = InvalidParameter("body", "not a JSON object", "a JSON object", _shown(values))
        raise problems.bad_request(invalid)
    return _parse(model, values, strict=True)


def _parse[T: Struct](model: type[T], values: Mapping[str, Any], *, strict: bool) -> T:
    parameters = parameters_of(model)
    known = ", ".join(parameters) or "none"
    errors = [
        InvalidParameter(name, "unknown parameter", known, _shown(value))
        for name, value in values.items()
        if name not in parameters
    ]
    parsed: dict[str, Any] = {}
    for name, parameter in parameters.items():
        if name in values:
            try:
                value = values[name] if strict else parameter.read(values[name])
                parsed[name] = msgspec.convert(value, parameter.type, strict=strict)
            except msgspec.ValidationError as error:
                detail = _FORM.sub("another form", str(error).replace("`", ""))
                allowed, shown = _allowed(parameter.schema), _shown(values[name])
                errors.append(InvalidParameter(name, detail, allowed, shown))
        elif parameter.is_required:
            errors.append(InvalidParameter(name, "required", _allowed(parameter.schema)))
    if errors:
        raise problems.bad_request(*errors)
    return model(**parsed)


def _shown(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return text[:MAX_SHOWN]


def _allowed(schema: Mapping[str, Any]) -> str:
    """The values that a schema allows, in words."""
    if "anyOf" in schema:
        return " or ".join(map(_allowed, schema["anyOf"]))
    match schema["type"]:
        case "array":
            return f"up to {schema['maxItems']}, each {_allowed(schema['items'])}"
        case "string" if "maxLength" in schema:
            return f"a text of {schema['minLength']} to {schema['maxLength']} characters"
        case "string" if "examples" in schema:
            return f"a text like {' or '.join(schema['examples'])}"
        case "string":
            return "a text"
        case "boolean":
            return "true or false"
        case kind:
            article = "an" if kind == "integer" else "a"
            return f"{article} {kind} from {schema['minimum']:.10g} to {schema['maximum']:.10g}"
