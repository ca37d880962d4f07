"""
Find plans that are well formed and cannot work on the night.

A gate without an approval, a window in the hour that the clocks skip, a way back that does not exist, a
number that rings at an emergency desk. Works on the marked values; names are `core/references.py`, and
opinions of the playbook are `core/playbook.py`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, available_timezones

from bot.core.codes import Code, near
from bot.core.marked_yaml import Marks, Node, Path
from bot.core.runbook import StepKind
from bot.core.schema_faults import within
from bot.core.spans import duration

#: Numbers that reach police, fire, ambulance, coastguard or crisis lines somewhere. A probe must never ring there.
EMERGENCY = frozenset(
    "000 010 015 061 062 066 080 088 092 093 100 101 102 103 104 105 106 107 108 110 111 112 113 115 117 118 119 120 122 "  # noqa: SIM905 - sixty quoted words are harder to read
    "127 128 133 144 15 16 17 18 155 158 166 190 192 193 194 195 199 911 912 913 933 988 990 992 993 994 995 996 997 998 999 "
    "116000 116117 116123 18000".split()
)
#: Past this nobody meant a policy, and seating people costs more than it tells.
_MOST_SLOTS = 60
_LOCAL_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?")
_EVERYWHERE = {"id", "kind", "title", "needs", "owner"}
_FIELDS: Mapping[str, set[str]] = {
    StepKind.MANUAL: {"within"},
    StepKind.ACTION: {"do", "point_of_no_return", "repeatable", "start", "timeout"},
    StepKind.GATE: {"approval", "must"},
    StepKind.WATCH: {"for", "checks"},
    StepKind.ROLL_CALL: {"roles", "within"},
}
_WANTED: Mapping[str, Mapping[str, str]] = {
    StepKind.ACTION: {"do": 'do: {http: {post: "{npdb}/activate"}}'},
    StepKind.GATE: {"approval": "approval: go"},
    StepKind.WATCH: {"for": "for: 90m", "checks": "checks: all"},
    StepKind.ROLL_CALL: {"roles": "roles: [network-ops, mno-partner]"},
}
_SECRET_KEY = re.compile(r"pass(word|wd)?|secret|token|api_?key|credential", re.IGNORECASE)


def check_meaning(marks: Marks) -> None:
    """Report everything in *marks* that could not work, or should never be tried."""
    zone = _check_zone(marks)
    _check_window(marks, zone)
    steps = marks.root.at("steps")
    if steps is not None and steps.items == []:
        marks.report_at(("steps",), Code.NO_STEPS, "a plan without steps. Write at least one.")
    for section in ("steps", "rollback"):
        for index, step in enumerate(marks.root.sequence(section)):
            _check_step(marks, (section, index), step)
    for index, trigger in enumerate(marks.root.sequence("triggers")):
        _check_trigger(marks, ("triggers", index), trigger)
    for index, check in enumerate(marks.root.sequence("checks")):
        _check_probe(marks, ("checks", index), check)
    _check_policies(marks)


def _check_zone(marks: Marks) -> ZoneInfo | None:
    name, node = marks.root.text("timezone"), marks.root.at("timezone")
    if name is None or node is None:
        return None
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        marks.report(node, Code.UNKNOWN_ZONE, f'no time zone "{name[:60]}". {_near_zone(name)}')
    return None


def _near_zone(name: str) -> str:
    zones = sorted(available_timezones())
    lowered = {zone.lower(): zone for zone in zones} | {zone.lower().rpartition("/")[2]: zone for zone in zones}
    remedy = near(name.lower()[:60], lowered, most=len(lowered))
    for spelled, zone in lowered.items():
        if remedy == f'Did you mean "{spelled}"?':
            return f'Did you mean "{zone}"?'
    return "Write it like Europe/London."


def _check_window(marks: Marks, zone: ZoneInfo | None) -> None:
    window = marks.root.at("window")
    if window is None:
        return
    times = [_moment(marks, window.at(key), zone) for key in ("opens", "closes")]
    if times[0] is not None and times[1] is not None and times[1] <= times[0]:
        message = (
            f"the window closes at {window.text('closes')}, not after it opens at {window.text('opens')}. Move one."
        )
        marks.report_at(("window", "closes"), Code.WINDOW_ORDER, message)


def _moment(marks: Marks, node: Node | None, zone: ZoneInfo | None) -> datetime | None:
    if node is None or not isinstance(node.scalar, str):
        return None
    try:
        local = datetime.fromisoformat(node.scalar) if _LOCAL_TIME.fullmatch(node.scalar) else None
    except ValueError:
        local = None
    if local is None or local.tzinfo is not None:
        message = (
            f'"{node.scalar[:40]}" is no local time. Write the wall clock of the run\'s zone: "2026-12-08T02:00:00"'
        )
        marks.report(node, Code.WINDOW_TIME, message)
        return None
    if zone is None:
        return local
    early, late = local.replace(tzinfo=zone), local.replace(tzinfo=zone, fold=1)
    if early.utcoffset() != late.utcoffset():
        # Skipped times do not survive the way to UTC and back; repeated ones do.
        is_skipped = early.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != local
        fault = "does not exist: the clocks skip it" if is_skipped else "comes twice: the clocks are set back"
        marks.report(node, Code.WINDOW_TIME, f"{node.scalar} {fault} in {zone.key} that night. Choose another hour.")
        return None
    return early.astimezone(UTC).replace(tzinfo=None)


def _check_step(marks: Marks, path: Path, step: Node) -> None:
    kind = step.text("kind")
    if kind is None or kind not in _FIELDS:
        return
    if path[0] == "rollback" and kind not in {StepKind.MANUAL, StepKind.ACTION}:
        message = f"{_a(kind)} has no place in rollback: going back waits for nobody. Use manual or action."
        marks.report_at((*path, "kind"), Code.MISPLACED, message)
    homes = {name for names in _FIELDS.values() for name in names}
    for name in step.entries or {}:
        if name in homes and name not in _FIELDS[kind] | _EVERYWHERE:
            message = f'"{name}" has no place in {_a(kind)}{within(marks, path)}. It belongs to {_homes_of(name)}.'
            marks.report(step.key(name) or step, Code.MISPLACED, message)
    for name, example in _WANTED.get(kind, {}).items():
        if step.at(name) is None:
            marks.report(step, Code.INCOMPLETE_STEP, f'{_a(kind)} needs "{name}"{within(marks, path)}. Write {example}')
    if kind == StepKind.ROLL_CALL and step.at("roles") is not None and not step.sequence("roles"):
        marks.report_at(
            (*path, "roles"), Code.INCOMPLETE_STEP, "a roll-call of nobody. Name the roles that must answer."
        )
    _check_watch(marks, path, step)
    _check_secrets(marks, path, step.at("do"))


def _a(kind: str) -> str:
    return f"{'an' if kind == StepKind.ACTION else 'a'} {kind}"


def _homes_of(name: str) -> str:
    return " or ".join(_a(kind) for kind, names in _FIELDS.items() if name in names)


def _check_watch(marks: Marks, path: Path, step: Node) -> None:
    written = step.text("for")
    if marks.root.text("phase") != "portability" or step.text("kind") != StepKind.WATCH or written is None:
        return
    try:
        span = duration(written)
    except (ValueError, OverflowError):
        return
    if span.total_seconds() < 90 * 60:
        message = (
            f"{written} is too short to watch a portability cutover. Write at least 90m: faults at origins show late."
        )
        marks.report_at((*path, "for"), Code.SHORT_WATCH, message)


def _check_trigger(marks: Marks, path: Path, trigger: Node) -> None:
    for name, remedy in (("owner", "Name a role."), ("source", "Say where its numbers come from.")):
        node = trigger.at(name)
        if node is not None and isinstance(node.scalar, str) and not node.scalar.strip():
            marks.report(
                node, Code.UNSIGNABLE, f'"{name}" is empty{within(marks, path)}: nobody could sign it. {remedy}'
            )
    for option in trigger.sequence("options"):
        if option.scalar == "go-back" and not marks.root.sequence("rollback"):
            message = (
                f"go-back is offered{within(marks, path)}, and rollback has no step. Write one, or do not offer it."
            )
            marks.report(option, Code.NO_ROLLBACK, message)
    when = trigger.at("when")
    if when is None or when.text("per") != "origin":
        return
    for check in marks.root.sequence("checks"):
        cells = check.at("cells")
        if check.text("id") == when.text("check") and (cells is None or not cells.sequence("origin")):
            message = f'per: origin, and check "{check.text("id")}" has no origins. Use per: cell or per: pooled.'
            marks.report(when.at("per") or when, Code.NO_MEMBERS, message)


def _check_probe(marks: Marks, path: Path, check: Node) -> None:
    for section in ("cells", "controls", "with"):
        for name, scalar in _texts(check.at(section)):
            number = _dialled(scalar.raw)
            if number in EMERGENCY and (section != "with" or "number" in name or name in {"to", "destination"}):
                message = f"{scalar.raw} reaches an emergency or crisis line{within(marks, path)}. Probes never call one: remove it."
                marks.report(scalar, Code.EMERGENCY_NUMBER, message)
    _check_secrets(marks, path, check.at("with"))


def _dialled(text: str) -> str:
    user = text.lower().removeprefix("tel:").removeprefix("sips:").removeprefix("sip:").partition("@")[0]
    return re.sub(r"[\s().+*#-]", "", user)


def _check_secrets(marks: Marks, path: Path, node: Node | None) -> None:
    for name, scalar in _texts(node):
        if "://" in scalar.raw and name != "post":
            message = f"an address has no place in a runbook{within(marks, path)}. Name a key of the deployment file's targets."
            marks.report(scalar, Code.ADDRESS, message)
        elif _SECRET_KEY.fullmatch(name):
            message = (
                f'"{name}" looks like a secret{within(marks, path)}. It belongs into the deployment file, by reference.'
            )
            marks.report(scalar, Code.ADDRESS, message)


def _texts(node: Node | None, name: str = "") -> Iterator[tuple[str, Node]]:
    """Yield every text below *node* with the key it stands under."""
    if node is None:
        return
    if isinstance(node.scalar, str):
        yield name, node
    for key, value in node.pairs():
        yield from _texts(value, key)
    for item in node.items or ():
        yield from _texts(item, name)


def _check_policies(marks: Marks) -> None:
    approvals, roles = marks.root.at("approvals"), marks.root.at("roles")
    if approvals is None or roles is None:
        return
    people = {name: _people(role) for name, role in roles.pairs()}
    for name, policy in approvals.pairs():
        if name == "go_back":
            for moment, part in policy.pairs():
                _check_policy(marks, ("approvals", name, moment), part, people)
        else:
            _check_policy(marks, ("approvals", name), policy, people)


def _people(role: Node) -> tuple[str, ...]:
    return tuple(item.raw for item in (*role.sequence("people"), *role.sequence("deputies")))


def _check_policy(marks: Marks, path: Path, policy: Node, people: Mapping[str, Sequence[str]]) -> None:
    each = [people[item.raw] for item in policy.sequence("one_of_each") if item.raw in people]
    pool = {person for item in policy.sequence("of") for person in people.get(item.raw, ())}
    wanted = policy.at("any")
    if not all(each) or len(each) > _MOST_SLOTS:
        return
    possible = seats(each)
    if possible < len(each):
        message = f"{len(each)} different people must agree, and these roles have only {possible}. List more people or deputies."
        marks.report_at(path, Code.UNREACHABLE_POLICY, message)
    elif pool and wanted is not None and isinstance(wanted.scalar, int) and wanted.scalar > len(pool):
        message = f"any {wanted.scalar} of {len(pool)} people can never be reached. List more people or ask for fewer."
        marks.report_at(path, Code.UNREACHABLE_POLICY, message)


def seats(slots: Sequence[Sequence[str]]) -> int:
    """Return how many of *slots* can be filled at once, one distinct person each."""
    taken: dict[str, int] = {}

    def seated(slot: int, asked: set[str]) -> bool:
        for person in slots[slot]:
            if person in asked:
                continue
            asked.add(person)
            if person not in taken or seated(taken[person], asked):
                taken[person] = slot
                return True
        return False

    return sum(seated(slot, set()) for slot in range(len(slots)))
