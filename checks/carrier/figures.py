"""
The figures that other systems of a migration would publish: reconciliation and one status per name.

Every answer carries the same fields, so that any runbook's `http` check finds the one it needs. A rehearsal may
overwrite fields; faults make them bad.
"""

from typing import Any

from checks.carrier.faults import Faults

Json = dict[str, Any]


class Figures:
    """Reconciliation, statuses and actions, in memory."""

    def __init__(self, batch: int, faults: Faults) -> None:
        self._batch = batch
        self._faults = faults
        self._set: dict[str, Json] = {}
        self._answers: dict[str, tuple[str, Json]] = {}
        self.actions: list[Json] = []

    def reconciliation(self, at: str) -> Json:
        """Return what the reconciliation job found last; *at* is when."""
        drift = self._faults.active("reconciliation-drift")
        return {
            "missing_left": 0,
            "missing_right": 3 if drift else 0,
            "changed": 2 if drift else 0,
            "compared": self._batch - (3 if drift else 0),
            "expected": self._batch,
            "coverage": 1.0 if not drift else (self._batch - 3) / self._batch,
            "at": at,
            **self._set.get("reconciliation", {}),
        }

    def status(self, name: str, at: str) -> Json:
        """Return the status of *name*; every name has one."""
        bad = self._faults.active("status-fails", name)
        started = sum(1 for action in self.actions if action["action"] == name)
        return {
            "name": name,
            "ok": not bad,
            "ready": not bad,
            "done": not bad and started > 0,
            "started": started,
            "success_ratio": 0.82 if bad else 1.0,
            "error_ratio": 0.18 if bad else 0.0,
            "lag_ms": 42_000 if bad else 40,
            "p95_ms": 9_000 if bad else 180,
            "conflicts": 7 if bad else 0,
            "order_errors": 4 if bad else 0,
            "dead_letters": 5 if bad else 0,
            "missing_left": 0,
            "missing_right": 12 if bad else 0,
            "changed": 6 if bad else 0,
            "compared": self._batch,
            "expected": self._batch,
            "unknown_callers": 2 if bad else 0,
            "open_items": 9 if bad else 0,
            "at": at,
            **self._set.get(name, {}),
        }

    def overwrite(self, name: str, fields: Json) -> None:
        """Set fields of a status, or of `reconciliation`, from now on."""
        self._set[name] = {**self._set.get(name, {}), **fields}

    def act(self, name: str, key: str, body: Json, at: str) -> Json | None:
        """Record an action once per key; None means that the key was used for another action."""
        if key and key in self._answers:
            known, answer = self._answers[key]
            return {**answer, "replayed": True} if known == name else None
        answer = {"ok": True, "action": name, "key": key, "at": at, "replayed": False}
        self.actions.append({**answer, "body": body})
        if key:
            self._answers[key] = (name, answer)
        return answer
