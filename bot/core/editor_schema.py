"""
The JSON Schema of a runbook, for editors that complete and underline while somebody types.

It says no more than the schema does: names that must exist, and everything the playbook wants, are said by
`lint`. Where pydantic's own schema describes values and not what people write (spans, operators, local
times), the written form replaces it here.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from bot.core.runbook import Runbook
from bot.core.triggers import operators

Json = dict[str, Any]

_REF = "#/$defs/{model}"
_SPAN: Json = {
    "type": "string",
    "pattern": r"^\d+(\.\d+)?(s|m|h|d)$",
    "description": "A span of time: 90s, 15m, 4h, 7d",
}
_LOCAL: Json = {
    "type": "string",
    "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?$",
    "description": "A wall-clock time of the runbook's zone, in quotes",
}


def json_schema(kinds: Mapping[str, type[BaseModel]] | None = None) -> Json:
    """Return the schema of a runbook; with *kinds* it knows the `with:` of each kind of check."""
    parameters = dict(kinds or {})
    judges = operators()
    written: list[type[BaseModel]] = [Runbook, *judges.values(), *parameters.values()]
    models: list[tuple[type[BaseModel], Any]] = [(model, "validation") for model in written]
    refs, schema = models_json_schema(models, by_alias=True, ref_template=_REF)
    defs: Json = schema["$defs"]
    _as_written(defs)
    _lift_operators(defs["When"], {name: refs[model, "validation"] for name, model in judges.items()})
    _tell_kinds(defs["Check"], {name: refs[model, "validation"] for name, model in parameters.items()})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Switchroom runbook",
        **refs[Runbook, "validation"],
        "$defs": defs,
    }


def _as_written(node: Any) -> None:
    """Replace, everywhere below *node*, what pydantic says of spans and times by what people write."""
    if isinstance(node, list):
        for item in node:
            _as_written(item)
    if not isinstance(node, dict):
        return
    written = {"duration": _SPAN, "date-time": _LOCAL}.get(str(node.get("format")))
    if written is not None:
        title = node.get("title")
        node.clear()
        node.update(written, **({"title": title} if title else {}))
    for value in node.values():
        _as_written(value)


def _lift_operators(when: Json, judges: Mapping[str, Json]) -> None:
    when["properties"] = {key: value for key, value in when["properties"].items() if key != "operator"} | dict(judges)
    when["required"] = ["check"]
    when["oneOf"] = [{"required": [name]} for name in judges]


def _tell_kinds(check: Json, parameters: Mapping[str, Json]) -> None:
    if not parameters:
        return
    check["properties"]["kind"] = {"type": "string", "enum": sorted(parameters)}
    check["allOf"] = [
        {
            "if": {"properties": {"kind": {"const": name}}, "required": ["kind"]},
            "then": {"properties": {"with": shape}},
        }
        for name, shape in sorted(parameters.items())
    ]
