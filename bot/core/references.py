"""
Find names that name nothing, names used twice, and steps that wait for each other.

Works on the marked values, not on the model, so that one wrong word does not hide the next. Decides only
whether a name leads somewhere; what the thing is good for is `core/meaning.py`.
"""

from collections.abc import Iterator, Mapping, Sequence

from bot.core.codes import Code, near
from bot.core.marked_yaml import Marks, Node

_POLICIES = ("criteria", "go", "fix_first", "continue", "resume")


def check_references(marks: Marks) -> None:
    """Report every dangling or doubled name of the runbook in *marks*."""
    root = marks.root
    steps, rollback = root.sequence("steps"), root.sequence("rollback")
    for noun, things in (("check", root.sequence("checks")), ("trigger", root.sequence("triggers")),
                         ("step", [*steps, *rollback]), ("digest", root.sequence("digests"))):  # fmt: skip
        _report_twice(marks, noun, things)
    _check_roles(marks)
    _check_checks(marks)
    for waiting in (steps, rollback):
        _check_needs(marks, waiting, rollback if waiting is steps else steps)
    name = root.text("runbook")
    for required in root.sequence("requires"):
        if name is not None and required.scalar == name:
            marks.report(required, Code.CYCLE, f'"{name}" requires itself. Remove it.')
    for listing in _lists(root):
        _report_repeats(marks, listing)


def ids(things: Sequence[Node]) -> Mapping[str, Node]:
    """Return the things by their id, the first of each."""
    found: dict[str, Node] = {}
    for thing in things:
        name = thing.text("id")
        if name is not None:
            found.setdefault(name, thing.at("id") or thing)
    return found


def _report_twice(marks: Marks, noun: str, things: Sequence[Node]) -> None:
    first = ids(things)
    for thing in things:
        name, node = thing.text("id"), thing.at("id")
        if name is not None and node is not None and node is not first[name]:
            message = f'a second {noun} "{name}" (first in line {first[name].line}). Give each its own id.'
            marks.report(node, Code.TWICE, message)


def _lists(root: Node) -> Iterator[Sequence[Node]]:
    yield root.sequence("requires")
    for _, role in _entries(root, "roles"):
        yield [*role.sequence("people"), *role.sequence("deputies")]
    for policy in _policies(root):
        yield policy.sequence("one_of_each")
        yield policy.sequence("of")
    for step in (*root.sequence("steps"), *root.sequence("rollback")):
        yield step.sequence("needs")
        yield step.sequence("roles")
        yield step.sequence("checks")
    for trigger in root.sequence("triggers"):
        yield trigger.sequence("options")


def _report_repeats(marks: Marks, listing: Sequence[Node]) -> None:
    seen: dict[str, Node] = {}
    for item in listing:
        if not isinstance(item.scalar, str):
            continue
        if item.scalar in seen:
            marks.report(item, Code.TWICE, f'"{item.scalar}" is in this list twice. Keep one.')
        seen[item.scalar] = item


def _entries(root: Node, key: str) -> Iterator[tuple[str, Node]]:
    found = root.at(key)
    if found is not None:
        yield from found.pairs()


def _policies(root: Node) -> Iterator[Node]:
    approvals = root.at("approvals")
    if approvals is None:
        return
    for name in _POLICIES:
        found = approvals.at(name)
        if found is not None:
            yield found
    go_back = approvals.at("go_back")
    if go_back is not None:
        yield from (policy for _, policy in go_back.pairs())


def _report_missing(marks: Marks, node: Node | None, code: Code, noun: str, known: Mapping[str, Node]) -> None:
    if node is None or not isinstance(node.scalar, str) or node.scalar in known:
        return
    remedy = _with_line(near(node.scalar, known), known)
    marks.report(node, code, f'no {noun} "{node.scalar}" in this runbook. {remedy}')


def _check_roles(marks: Marks) -> None:
    root = marks.root
    known = dict(_entries(root, "roles"))
    for thing in (*root.sequence("triggers"), *root.sequence("steps"), *root.sequence("rollback")):
        _report_missing(marks, thing.at("owner"), Code.NO_SUCH_ROLE, "role", known)
        for role in thing.sequence("roles"):
            _report_missing(marks, role, Code.NO_SUCH_ROLE, "role", known)
    for policy in _policies(root):
        for role in (*policy.sequence("one_of_each"), *policy.sequence("of")):
            _report_missing(marks, role, Code.NO_SUCH_ROLE, "role", known)
    approvals = root.at("approvals")
    if approvals is not None:
        _report_missing(marks, approvals.at("tie_breaker"), Code.NO_SUCH_ROLE, "role", known)


def _check_checks(marks: Marks) -> None:
    root = marks.root
    known = ids(root.sequence("checks"))
    for trigger in root.sequence("triggers"):
        when = trigger.at("when")
        watched = when.at("check") if when is not None else None
        if watched is None or not isinstance(watched.scalar, str) or watched.scalar in known:
            continue
        remedy = _with_line(near(watched.scalar, known), known)
        name = trigger.text("id") or "without id"
        marks.report(
            watched,
            Code.NO_SUCH_CHECK,
            f'trigger "{name}" watches no check of this runbook: "{watched.scalar}". {remedy}',
        )
    for step in (*root.sequence("steps"), *root.sequence("rollback")):
        for holder in (step, step.at("must")):
            listed = holder.at("checks") if holder is not None else None
            for item in listed.items or () if listed is not None else ():
                _report_missing(marks, item, Code.NO_SUCH_CHECK, "check", known)


def _with_line(remedy: str, known: Mapping[str, Node]) -> str:
    name = remedy.removeprefix('Did you mean "').removesuffix('"?')
    return f'Did you mean "{name}" (line {known[name].line})?' if name in known else remedy


def _check_needs(marks: Marks, steps: Sequence[Node], others: Sequence[Node]) -> None:
    known, elsewhere = ids(steps), ids(others)
    graph: dict[str, list[str]] = {name: [] for name in known}
    for step in steps:
        name = step.text("id")
        for need in step.sequence("needs"):
            if isinstance(need.scalar, str) and need.scalar in elsewhere and need.scalar not in known:
                message = f'"{need.scalar}" is on the other list: steps and rollback steps do not wait for each other.'
                marks.report(need, Code.NO_SUCH_STEP, f"{message} Remove it.")
                continue
            _report_missing(marks, need, Code.NO_SUCH_STEP, "step", known)
            if name in graph and isinstance(need.scalar, str) and need.scalar in known:
                graph[name].append(need.scalar)
    for cycle in _cycles(graph):
        path = " -> ".join([*cycle, cycle[0]])
        message = f"these steps wait for each other and none can start: {path}. Remove one of the needs."
        marks.report(known[cycle[0]], Code.CYCLE, message)


def _cycles(graph: Mapping[str, Sequence[str]]) -> Iterator[list[str]]:
    """Yield cycles until every step is on one or on none; each starts at its first step in the file."""
    order = list(graph)
    settled: set[str] = set()
    for start in order:
        trail: list[str] = []
        walk = [(start, iter(graph[start]))] if start not in settled else []
        while walk:
            name, below = walk[-1]
            if not trail or trail[-1] != name:
                trail.append(name)
            following = next(below, None)
            if following is None:
                walk.pop()
                trail.pop()
                settled.add(name)
            elif following in trail:
                cycle = trail[trail.index(following) :]
                first = cycle.index(min(cycle, key=order.index))
                yield cycle[first:] + cycle[:first]
            elif following not in settled:
                walk.append((following, iter(graph[following])))
