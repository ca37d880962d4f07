"""What ships is sound: each runbook lints clean, fits the demo's people and the simulated carrier, and is documented."""

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import checks
from bot.core.codes import Code
from bot.core.criteria import sentences
from bot.core.deployment import missing_targets, parse_deployment
from bot.core.editor_schema import json_schema
from bot.core.reading_yaml import lint, marks_of, parse
from bot.core.runbook import Phase, Runbook, StepKind
from checks.carrier.config import SOCKETS, CarrierConfig
from checks.carrier.network import Carrier
from checks.targets import parse_targets

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "runbooks" / "demo.deployment.yaml"
NAMES = {
    "destination-readiness",
    "mediation",
    "subscriber-cohort",
    "parallel-operations",
    "api-integrations",
    "bss-cutover",
    "number-portability-cutover",
    "completion",
}
KINDS: dict[str, type[BaseModel]] = {name: kind.Params for name, kind in checks.kinds().items()}
shipped = pytest.mark.parametrize("name", sorted(NAMES))


def data_of(name: str) -> bytes:
    return (ROOT / "runbooks" / f"{name}.yaml").read_bytes()


def runbook_of(name: str) -> Runbook:
    return parse(data_of(name), f"{name}.yaml", KINDS)


def test_one_runbook_per_phase_ships() -> None:
    there = {path.stem for path in (ROOT / "runbooks").glob("*.yaml") if runbooks_only(path)}
    assert there == NAMES
    assert {runbook_of(name).phase for name in NAMES} == set(Phase)


def runbooks_only(path: Path) -> bool:
    return b"\nrunbook: " in b"\n" + path.read_bytes()


@shipped
def test_each_shipped_runbook_lints_clean(name: str) -> None:
    assert [str(finding) for finding in lint(data_of(name), f"{name}.yaml", KINDS)] == []
    assert runbook_of(name).runbook == name


@shipped
def test_each_shipped_runbook_requires_only_shipped_ones_and_in_an_order(name: str) -> None:
    waiting, seen = list(runbook_of(name).requires), set[str]()
    while waiting:
        required = waiting.pop()
        assert required in NAMES
        assert required != name, "a runbook that requires itself in the end"
        if required not in seen:
            seen.add(required)
            waiting.extend(runbook_of(required).requires)


@shipped
def test_each_shipped_runbook_fits_the_demo(name: str) -> None:
    demo = parse_deployment(DEMO.read_bytes(), DEMO.name)
    carrier = Carrier(CarrierConfig())
    # Ports are known once it runs; which targets there are is known before.
    carrier.ports = dict.fromkeys(SOCKETS, 1)
    here = demo.model_copy(update={"targets": parse_targets(carrier.targets)})
    marks = marks_of(data_of(name), f"{name}.yaml")
    assert [str(finding) for finding in missing_targets(runbook_of(name), KINDS, here, marks)] == []


@shipped
def test_each_shipped_runbook_ends_in_a_gate_and_explains_itself(name: str) -> None:
    runbook = runbook_of(name)
    assert runbook.steps[-1].kind is StepKind.GATE
    assert sum("# " in line for line in data_of(name).decode().splitlines()) >= 5
    assert all(len(sentence) < 500 for sentence in sentences(runbook))


@shipped
def test_each_shipped_runbook_calls_only_numbers_of_the_drama_range(name: str) -> None:
    numbers = {cell.number for check in runbook_of(name).checks for cell in check.all_cells()} - {""}
    assert all(re.fullmatch(r"\+447700900\d{3}", number) for number in numbers)


@shipped
def test_the_editors_schema_knows_every_key_of_the_shipped_runbooks(name: str) -> None:
    schema = json_schema(KINDS)
    assert list(unknown_keys(marks_of(data_of(name), name).root.plain, schema, schema["$defs"])) == []


def unknown_keys(value: Any, schema: dict[str, Any], defs: dict[str, Any]) -> list[str]:
    """Return keys and choices of *value* that no branch of *schema* has: a smoke test, no validator."""
    if "$ref" in schema:
        return unknown_keys(value, defs[schema["$ref"].rpartition("/")[2]], defs)
    branches = schema.get("anyOf", [])
    if branches:
        return min((unknown_keys(value, branch, defs) for branch in branches), key=len)
    if isinstance(value, dict) and schema.get("type") == "object":
        known, others = schema.get("properties", {}), schema.get("additionalProperties", True)
        found = [key for key in value if key not in known and others is False]
        shapes = {key: known.get(key, others) for key in value}
        return found + [
            bad
            for key, shape in shapes.items()
            if isinstance(shape, dict)
            for bad in unknown_keys(value[key], shape, defs)
        ]
    if isinstance(value, list) and schema.get("type") == "array":
        return [bad for item in value for bad in unknown_keys(item, schema.get("items", {}), defs)]
    return misfit(value, schema)


TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "array": (list,),
    "object": (dict,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "null": (),
}


def misfit(value: Any, schema: dict[str, Any]) -> list[str]:
    """Return why a single *value* does not fit *schema*."""
    if "enum" in schema:
        return [] if value in schema["enum"] else [str(value)]
    if "type" in schema and not isinstance(value, TYPES[schema["type"]]):
        return [f"{value!r} is no {schema['type']}"]
    if "pattern" in schema and isinstance(value, str) and not re.search(schema["pattern"], value):
        return [f"{value} is not {schema['pattern']}"]
    return []


# ---------------------------------------------------------------------------------------------- docs


def test_every_code_is_explained_in_the_documentation() -> None:
    rows = re.findall(
        r"^\| `(E\d+|PB\d+)` \|", (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    deployment = re.findall(
        r"^\| `(E\d+)` \|", (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert sorted(rows) == sorted(code for code in Code if not code.startswith("E5"))
    assert sorted(deployment) == sorted(
        code for code in Code if code.startswith("E5") or code in {"E308", "E309", "E310"}
    )


def test_every_key_of_a_runbook_is_explained_in_the_documentation() -> None:
    text = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"`([a-z_]+)`", text))
    defs = json_schema()["$defs"]
    keys = {key for shape in defs.values() for key in shape.get("properties", {})} - {"operator"}
    assert sorted(keys - explained) == []


def test_the_example_of_the_documentation_lints_clean() -> None:
    for page in ("runbook.md", "deployment.md"):
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        (example,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
        if page == "runbook.md":
            assert [str(finding) for finding in lint(example.encode(), page, KINDS)] == []
        else:
            parse_deployment(example.encode(), page)
