"""
What people sign: one list of plain sentences, and one digest over everything the sentences rest on.

The digest changes when a criterion, a check it reads, a gate, a policy, a role, the way back or a named
deployment entry changes, and not for a comment or a title of a step. Who signed is not known here.
"""

import hashlib
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import rfc8785

from bot.core.runbook import Check, Entry, NoData, OptionName, Per, Policy, Runbook, Step, StepKind, Trigger
from bot.core.spans import shown
from bot.core.triggers import one_in

#: Raised when what the digest covers changes, so that an old digest is never mistaken for a new one.
_FORM = 2
#: The most members that are named one by one; more are counted.
_MOST_NAMED = 6
_OPTION_WORDS = {"go-back": "go back", "fix-first": "fix first", "continue": "continue"}


def criteria_digest(runbook: Runbook, fingerprints: Mapping[str, str], scenario: Mapping[str, Any] | None) -> str:
    """Return the SHA-256 of the criteria in canonical form. *fingerprints* are those of the entries it names."""
    criteria: Any = {
        "form": _FORM,
        "runbook": runbook.runbook,
        "window": runbook.window.model_dump(mode="json") if runbook.window is not None else None,
        "timezone": runbook.timezone,
        "triggers": [trigger.model_dump(mode="json", by_alias=True) for trigger in runbook.triggers],
        "checks": [_measures(check) for check in read_checks(runbook)],
        "gates": [_entry(runbook, step) for step in runbook.steps if step.kind in {StepKind.GATE, StepKind.WATCH}],
        "actions": [_act(step) for step in runbook.steps if step.kind is StepKind.ACTION],
        "approvals": runbook.approvals.model_dump(mode="json", by_alias=True),
        "roles": {name: role.model_dump(mode="json") for name, role in runbook.roles.items()},
        "rollback": [step.model_dump(mode="json", by_alias=True, exclude={"title"}) for step in runbook.rollback],
        "materiality": dict(runbook.materiality),
        "deployment": dict(fingerprints),
        "scenario": dict(scenario) if scenario is not None else None,
    }
    return hashlib.sha256(rfc8785.dumps(criteria)).hexdigest()


def read_checks(runbook: Runbook) -> tuple[Check, ...]:
    """Return the checks that a trigger, a gate or a watch reads, in the runbook's order."""
    read = {trigger.when.check for trigger in runbook.triggers}
    for step in runbook.steps:
        names = (step.must or Entry()).checks if step.kind is StepKind.GATE else step.checks
        read.update(check.id for check in runbook.checks_of(names))
    return tuple(check for check in runbook.checks if check.id in read)


def _measures(check: Check) -> dict[str, Any]:
    plain = check.model_dump(mode="json", by_alias=True, exclude={"title"})
    # A gap that is written out and the same gap by default are the same promise.
    return {**plain, "gap": shown(check.hole_after)}


def _act(step: Step) -> dict[str, Any]:
    """What an action does, when, and by whom: a switch that waits for less is another switch."""
    return step.model_dump(mode="json", by_alias=True, exclude={"title"})


def _entry(runbook: Runbook, step: Step) -> dict[str, Any]:
    plain = step.model_dump(mode="json", by_alias=True, include={"id", "kind", "needs", "approval", "for_"})
    must = step.must or Entry()
    if step.kind is StepKind.GATE:
        checks = [check.id for check in runbook.checks_of(must.checks)]
        return {**plain, "must": {"checks": checks, "last": shown(must.last)}}
    return {**plain, "checks": [check.id for check in runbook.checks_of(step.checks)]}


def sentences(runbook: Runbook) -> tuple[str, ...]:
    """Return the list that people sign: when we go back, then what must be true to go on."""
    rules = [f"Rule {number}. {_rule(runbook, trigger)}" for number, trigger in enumerate(runbook.triggers, start=1)]
    return (*rules, *_going_live(runbook), *_going_back(runbook))


def _rule(runbook: Runbook, trigger: Trigger) -> str:
    check = runbook.check(trigger.when.check)
    members = runbook.members(trigger)
    try:
        when = trigger.when.operator.sentence()
        chance = trigger.when.operator.family_false_trip(len(members))
    except NotImplementedError:
        # An operator under construction is still one that people can read, if not one they should sign.
        when, chance = f"{trigger.when.operator.NAME} {trigger.when.operator.model_dump_json()}", None
    by_mistake = f" A healthy network sets this off by mistake in at most {one_in(chance, 'night')}." if chance else ""
    silence = " No measurement counts as a failure." if trigger.no_data is NoData.MET else ""
    return (
        f'{trigger.title}: when{_whose(trigger, members)} {when} in "{check.title or check.id}", we {_choices(trigger)}.'
        f" Decided within {in_words(trigger.decide_within)}.{by_mistake}{silence}"
        f" Owner: {trigger.owner}. From: {trigger.source}."
    )


def _choices(trigger: Trigger) -> str:
    *most, last = [_OPTION_WORDS[option] for option in trigger.options]
    return f"{', '.join(most)} or {last}" if most else last


def _whose(trigger: Trigger, members: tuple[str, ...]) -> str:
    if trigger.when.per is Per.POOLED or len(members) == 1:
        return ""
    return f", for any one of {', '.join(members) if len(members) <= _MOST_NAMED else f'{len(members)} cells'},"


def in_words(span: timedelta) -> str:
    """Return *span* as people say it: `90 min`, `4 h`, `28 days`."""
    count, unit = shown(span)[:-1], shown(span)[-1]
    return f"{count} { {'s': 's', 'm': 'min', 'h': 'h', 'd': 'day' if count == '1' else 'days'}[unit] }"


def _going_live(runbook: Runbook) -> Iterator[str]:
    for step in runbook.steps:
        if step.kind is StepKind.WATCH and step.for_ is not None:
            what, span = _names(runbook, step.checks), in_words(step.for_)
            yield f"Watching, {step.name}: {what} for {span}. A stretch without measurements makes it longer."
        elif step.kind is StepKind.GATE:
            entry = step.must or Entry()
            before = f"done: {', '.join(runbook.step(need).name for need in step.needs)}; " if step.needs else ""
            works = f"working, with no hole in the last {in_words(entry.last)}: {_names(runbook, entry.checks)}; "
            yield f"To go on, {step.name}: {before}{works}{agreed(runbook.approvals.go)}."


def _going_back(runbook: Runbook) -> Iterator[str]:
    if not runbook.rollback:
        return
    way = ", ".join(step.name for step in runbook.rollback)
    before = agreed(runbook.approvals.policy(OptionName.GO_BACK, no_return=False))
    yield f"Going back: {way}; {before}."
    switch = next((step for step in runbook.steps if step.point_of_no_return), None)
    if switch is not None:
        after = agreed(runbook.approvals.policy(OptionName.GO_BACK, no_return=True))
        yield f'After "{switch.name}" there is no undo. Porting back is a new port; {after}.'


def _names(runbook: Runbook, names: Any) -> str:
    if names == "all":
        return "all checks"
    return ", ".join(check.title or check.id for check in runbook.checks_of(names))


def agreed(policy: Policy) -> str:
    """Return *policy* as words: `lead and network-ops agree`."""
    if policy.one_of_each:
        *most, last = policy.one_of_each
        who = f"{', '.join(most)} and {last} agree" if most else f"{last} agrees"
    else:
        who = f"{'one' if policy.any == 1 else policy.any} of {', '.join(policy.of)} agree{'s' if policy.any == 1 else ''}"
    return f"{who}, not who asked" if policy.not_requester else who


def plain_diff(before: Runbook, after: Runbook) -> str:
    """Return what changed, one line each, in the runbook's own words; empty if nothing did."""
    old, new = (book.model_dump(mode="json", by_alias=True, exclude_defaults=True) for book in (before, after))
    return "\n".join(_changes("", old, new))


def _changes(path: str, old: Any, new: Any) -> Iterator[str]:
    if _is_listing(old) and _is_listing(new):
        names, names_after = [item["id"] for item in old], [item["id"] for item in new]
        kept = [name for name in names_after if name in names]
        if kept != [name for name in names if name in names_after]:
            yield f"{path}, new order: {', '.join(names_after)}"
        yield from _changes(path, {item["id"]: item for item in old}, {item["id"]: item for item in new})
    elif isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys((*old, *new)):
            # The operator's own key says which it is; the model's field is no word of the runbook.
            place = path if key == "operator" else f"{path}.{key}".lstrip(".")
            if key not in new:
                yield f"{place} removed: {_brief(old[key])}"
            elif key not in old:
                yield f"{place} added: {_brief(new[key])}"
            else:
                yield from _changes(place, old[key], new[key])
    elif old != new:
        yield f"{path}: {_brief(old)} -> {_brief(new)}"


def _is_listing(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, Mapping) and "id" in item for item in value) and bool(value)


def _brief(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_brief(below)}" for key, below in value.items() if key != "id")
    if isinstance(value, list):
        return f"[{', '.join(map(_brief, value))}]"
    return {True: "true", False: "false"}.get(value, str(value)) if isinstance(value, bool) else str(value)
