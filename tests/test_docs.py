"""What the documentation says exists: commands, settings, verbs, files, links, examples. Its prose is nobody's test."""

import re
import textwrap
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml
from typer.core import TyperCommand, TyperGroup

import checks
from bot import __version__
from bot.adapters.slack.connection import Watch
from bot.cli import app
from bot.config import Settings
from bot.core.model import Reading
from bot.core.reading_yaml import lint
from bot.core.triggers import operators
from bot.rehearsal.play import Result
from bot.verbs import VERBS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))

_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
_PATH = re.compile(r"`((?:bot|checks|docs|runbooks|tests)/[\w./-]*)(?:::(test_\w+))?`")


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, language: str) -> list[str]:
    """Return the fenced blocks of *page* in *language*."""
    found = _FENCE.findall(text_of(page))
    return [textwrap.dedent(body) for _, name, body in found if name == language]


def section(page: Path, heading: str) -> str:
    """Return what stands under *heading*, whatever its level, up to the next heading of any level."""
    match = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", text_of(page), re.DOTALL | re.MULTILINE)
    assert match is not None, f"{page.name} has no heading {heading!r}"
    return match[1]


def rows(page: Path, after: str) -> list[str]:
    """Return the first cells, in backticks, of the first table of *page* after the text *after*."""
    rest = text_of(page).split(after, 1)[1]
    table = re.search(r"(?:^\|.*\n)+", rest, re.MULTILINE)
    assert table is not None, f"no table after {after!r} in {page.name}"
    return re.findall(r"^\| `([^`]+)`", table[0], re.MULTILINE)


def commands(group: TyperGroup, above: str = "") -> Iterator[tuple[str, TyperCommand]]:
    """Return every command of the command line by its full name."""
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from commands(command, f"{above}{name} ")
        elif isinstance(command, TyperCommand):
            yield f"{above}{name}", command


def command_line() -> dict[str, TyperCommand]:
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    return dict(commands(group))


# ------------------------------------------------------------------------------- what people can say


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_is_documented_with_its_usage_its_help_and_its_other_names(name: str) -> None:
    verb = VERBS[name]
    told = section(DOCS / "verbs.md", f"`{verb.usage}`")
    assert verb.help in told
    for other in verb.aliases:
        assert (f"`{other}`" if other else "`/cutover`") in told


def test_no_verb_is_documented_that_does_not_exist() -> None:
    told = re.findall(r"^### `(.+)`$", text_of(DOCS / "verbs.md"), re.MULTILINE)
    assert told == [verb.usage for verb in VERBS.values()]


def test_every_command_is_documented_and_no_other() -> None:
    told = re.findall(r"^## switchroom (.+)$", text_of(DOCS / "cli.md"), re.MULTILINE)
    (verbs,) = blocks(DOCS / "cli.md", "text")
    assert set(told) | set(verbs.split()) == set(command_line())
    assert set(verbs.split()) == set(VERBS) - {"help"}


@pytest.mark.parametrize("name", sorted(set(command_line()) - (set(VERBS) - {"check"})))
def test_every_option_of_a_command_is_documented(name: str) -> None:
    told = section(DOCS / "cli.md", f"switchroom {name}")
    everywhere = text_of(DOCS / "cli.md").split("## ", 1)[0]
    for parameter in command_line()[name].params:
        for option in parameter.opts:
            assert not option.startswith("--") or f"`{option}" in told or f"`{option}" in everywhere, option


def test_the_readme_lists_every_command() -> None:
    table = section(ROOT / "README.md", "The command line")
    listed = set(re.findall(r"^\| `switchroom ([a-z ]+)`", table, re.MULTILINE))
    (verbs,) = re.findall(r"what people say after `/cutover`: `([^`]+)`", table)
    assert listed | set(verbs.split()) == set(command_line())


def test_the_words_of_json_are_documented() -> None:
    told = text_of(DOCS / "cli.md")
    fault_told = Result(fault_to_card_s=1.0).as_json()
    seconds = fault_told["seconds"]
    assert isinstance(seconds, Mapping)
    for word in (*fault_told, *seconds, *Reading.model_fields, "whole", "sentence", "head"):
        assert f"`{word}`" in told, word


# ----------------------------------------------------------------------------- what can be configured


def test_the_table_of_settings_is_what_is_read_from_the_environment() -> None:
    fields = {field.alias for field in Settings.model_fields.values()}
    assert set(rows(DOCS / "settings.md", "## Environment")) == fields | {"SWITCHROOM_LOG"}


def test_the_default_of_a_setting_is_the_one_that_is_told() -> None:
    told = section(DOCS / "settings.md", "Environment")
    defaults = Settings.model_construct()
    assert f"| `SWITCHROOM_DEPLOYMENT` | `{defaults.deployment}` |" in told
    assert f"| `SWITCHROOM_STATE_DIR` | `{defaults.state_dir}` |" in told


@pytest.mark.parametrize("kind", sorted(checks.kinds()))
def test_every_kind_of_check_has_its_section(kind: str) -> None:
    assert section(DOCS / "checks.md", kind)


def test_every_trigger_operator_is_documented_with_its_keys() -> None:
    table = re.search(r"^\| operator \|.*?\n\n", text_of(DOCS / "runbook.md"), re.DOTALL | re.MULTILINE)
    assert table is not None
    told = {row.split("`")[1]: row for row in table[0].splitlines() if row.startswith("| `")}
    assert set(told) == set(operators())
    for name, operator in operators().items():
        for key in operator.model_fields:
            assert f"`{key}`" in told[name], f"{name}.{key}"


# ----------------------------------------------------------------------------------------------- slack

#: Which scope of a bot token each method needs (docs.slack.dev/reference/methods); none for some.
_SCOPES: Mapping[str, tuple[str, ...]] = {
    "auth.test": (),
    "apps.connections.open": (),  # the app-level token's own connections:write
    "chat.postMessage": ("chat:write",),
    "chat.postEphemeral": ("chat:write",),
    "chat.update": ("chat:write",),
    "conversations.history": ("channels:history", "groups:history"),
    "pins.add": ("pins:write",),
    "views.open": (),
}


def called_methods() -> set[str]:
    """Return the methods of the Web API that the adapter calls, as Slack names them."""
    sources = (ROOT / "bot" / "adapters" / "slack").glob("*.py")
    return {
        name.replace("_", ".")
        for source in sources
        for name in re.findall(r"client\.((?:\w+_)+\w+)\(", text_of(source))
        if name.split("_")[0] in {"auth", "apps", "chat", "conversations", "pins", "views", "users", "reactions"}
    }


def manifest() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(blocks(DOCS / "slack.md", "yaml")[0])
    return found


def test_the_manifest_asks_for_the_scopes_that_the_calls_need_and_no_more() -> None:
    wanted = {scope for method in called_methods() for scope in _SCOPES[method]}
    assert set(manifest()["oauth_config"]["scopes"]["bot"]) == wanted | {"commands"}


def test_the_manifest_is_for_socket_mode_with_the_one_command() -> None:
    settings = manifest()["settings"]
    assert settings["socket_mode_enabled"] is True
    assert settings["interactivity"]["is_enabled"] is True
    assert [command["command"] for command in manifest()["features"]["slash_commands"]] == ["/cutover"]


def test_a_compatible_server_is_told_every_method_that_is_called() -> None:
    assert set(rows(DOCS / "slack.md", "It must answer these methods")) == called_methods()


def test_a_compatible_server_is_told_when_its_socket_counts_as_deaf() -> None:
    assert f"a connection without a pong for {Watch().grace_s:g} s counts as deaf" in text_of(DOCS / "slack.md")


# ------------------------------------------------------------------------------------- files and links


@every_page
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)", text_of(page)):
        there = (page.parent / target).resolve() if target else page
        assert there.exists(), target
        if anchor:
            assert anchor in anchors(there), f"{target}#{anchor}"


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", text_of(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_page
def test_every_path_in_the_text_exists_and_every_test_named_is_there(page: Path) -> None:
    for path, test in _PATH.findall(text_of(page)):
        assert (ROOT / path).exists(), path
        assert not test or f"def {test}(" in text_of(ROOT / path), test


@every_page
def test_every_yaml_example_can_be_read(page: Path) -> None:
    for block in blocks(page, "yaml"):
        assert yaml.safe_load(block) is not None


def test_the_tree_of_the_readme_names_what_exists() -> None:
    (tree,) = blocks(ROOT / "README.md", "text")
    named = [line.split()[0] for line in tree.splitlines()]
    assert [path for path in named if not (ROOT / path).exists()] == []
    assert len(named) > 20


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", text_of(ROOT / "Makefile"), re.MULTILINE))
    named = {
        name
        for page in PAGES
        for source in (text_of(page), *(f"`{line}`" for block in blocks(page, "sh") for line in block.splitlines()))
        for name in re.findall(r"`make ([a-z]+)", source)
    }
    assert named
    assert named <= targets


def test_the_layers_are_those_that_are_held() -> None:
    contracts = tomllib.loads(text_of(ROOT / "pyproject.toml"))["tool"]["importlinter"]["contracts"]
    layers = next(one["layers"] for one in contracts if one["type"] == "layers")
    held = " > ".join(f"({layer})" if "|" in layer else layer for layer in layers).replace("bot.", "")
    assert f"`{held}`" in section(DOCS / "architecture.md", "Layers")


# -------------------------------------------------------------------------------------------- examples


def test_the_fragment_of_the_readme_is_what_ships_and_lints_clean() -> None:
    (fragment,) = blocks(ROOT / "README.md", "yaml")
    name = "number-portability-cutover.yaml"
    shipped: dict[str, Any] = yaml.safe_load(text_of(ROOT / "runbooks" / name))
    for part, items in yaml.safe_load(fragment).items():
        whole = {item["id"]: item for item in shipped[part]}
        assert [item["id"] for item in items if whole.get(item["id"]) != item] == []
        shipped[part] = list((whole | {item["id"]: item for item in items}).values())
    kinds = {kind: found.Params for kind, found in checks.kinds().items()}
    wrapped = yaml.safe_dump(shipped, sort_keys=False, allow_unicode=True).encode()
    assert [str(finding) for finding in lint(wrapped, name, kinds)] == []


def test_the_version_is_the_same_everywhere() -> None:
    newest = re.search(r"^## (\S+)", text_of(ROOT / "CHANGELOG.md"), re.MULTILINE)
    assert newest is not None
    project = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]
    assert newest[1] == project["version"] == __version__
