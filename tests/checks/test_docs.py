"""The examples of docs/checks.md are what a runbook may hold."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from checks import kinds
from checks.targets import parse_targets
from checks.units import parse_duration

PAGE = Path(__file__).parents[2] / "docs" / "checks.md"
EXAMPLES: list[Any] = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)]
CHECKS: list[dict[str, Any]] = [check for example in EXAMPLES if isinstance(example, list) for check in example]


def test_every_kind_has_an_example() -> None:
    assert {check["kind"] for check in CHECKS} == set(kinds())


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: str(check["id"]))
def test_an_example_is_accepted_and_its_timeout_leaves_room(check: dict[str, Any]) -> None:
    params = kinds()[check["kind"]].Params.model_validate(check["with"])
    assert parse_duration(check["timeout"]) > params.service_limit_s()


def test_the_example_targets_are_accepted() -> None:
    (targets,) = [example["targets"] for example in EXAMPLES if isinstance(example, dict)]
    assert parse_targets(targets)["data"]["internet"]["resolver"] == "subscriber"


@pytest.mark.parametrize("kind", sorted(kinds()))
def test_every_parameter_is_in_the_table(kind: str) -> None:
    section = PAGE.read_text().split(f"\n## {kind}\n")[1].split("\n## ")[0]
    for name in kinds()[kind].Params.model_fields:
        assert f"`{name}`" in section, name
