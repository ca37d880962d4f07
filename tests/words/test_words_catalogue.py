"""The catalogue is whole: what the code says exists, what exists is said, and the fields agree."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import bot.words
from bot.core.errors import SettingsRefused
from bot.words import phrases
from bot.words.phrases import PHRASES, fields_of, replace, say


def _calls() -> Iterator[tuple[str, ast.Call]]:
    for file in sorted(Path(bot.words.__path__[0]).glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "say":
                yield file.name, node


def _keys(call: ast.Call) -> list[str]:
    """The key of a call, or both where it chooses between two."""
    first = call.args[0]
    chosen = [first.body, first.orelse] if isinstance(first, ast.IfExp) else [first]
    return [one.value for one in chosen if isinstance(one, ast.Constant) and isinstance(one.value, str)]


CALLS = list(_calls())


def test_a_phrase_that_is_said_exists_and_gets_its_fields() -> None:
    for file, call in CALLS:
        keys = _keys(call)
        assert keys, f"{file}:{call.lineno} says a phrase whose key cannot be read"
        for key in keys:
            assert fields_of(PHRASES[key]) == {keyword.arg for keyword in call.keywords}, f"{file}:{call.lineno} {key}"


def test_no_phrase_is_left_unsaid() -> None:
    assert set(PHRASES) == {key for _, call in CALLS for key in _keys(call)}


def test_nobody_approves_and_nothing_went_wrong() -> None:
    everything = " ".join(PHRASES.values()).lower()
    for word in ("approve", "went wrong", "stand down", "trips", "outbox", "oops"):
        assert word not in everything


@pytest.fixture
def own_phrases() -> Iterator[None]:
    yield
    replace({})


@pytest.mark.usefixtures("own_phrases")
def test_a_deployment_says_it_in_its_own_words() -> None:
    replace({"ago": "vor {span}"})
    assert say("ago", span="4 s") == "vor 4 s"
    assert say("none") == "none"


@pytest.mark.usefixtures("own_phrases")
@pytest.mark.parametrize(
    ("key", "phrase", "fault"),
    [
        ("agoo", "x", "there is no phrase 'agoo'"),
        ("ago", "{spam} ago", "has no field spam"),
        ("ago", "{span.__class__}", "must be a plain name"),
        ("ago", "{span!r}", "must be a plain name"),
        ("ago", "{", "odd brace"),
    ],
)
def test_a_phrase_that_cannot_be_said_is_refused_at_once(key: str, phrase: str, fault: str) -> None:
    with pytest.raises(SettingsRefused, match=fault):
        replace({key: phrase})
    assert phrases.say("ago", span="4 s") == "4 s ago"


def test_a_plain_field_is_made_safe_on_its_way_into_a_phrase() -> None:
    assert say("ago", span="<!channel> +447700900123") == "&lt;!channel&gt; number ending 123 ago"
