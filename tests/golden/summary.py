"""What a folded state says that must never change, whatever the release: the outcome, and how it came."""

from typing import Any

from bot.core.state import House, RunState


def summary(house: House) -> dict[str, Any]:
    """Return the lasting facts of *house* as plain JSON."""
    return {name: _run(run) for name, run in house.runs.items()}


def _run(run: RunState) -> dict[str, Any]:
    return {
        "status": run.status.value,
        "criteria": run.criteria_digest,
        "signatures": {role: person for role, (person, _) in run.signatures.items()},
        "present": sorted(run.present),
        "steps": {name: [state.status.value, state.attempt, state.key] for name, state in run.steps.items()},
        "decisions": {
            str(number): [
                decision.opened.subject,
                decision.status,
                decision.decided.option.value if decision.decided else "",
                sorted(decision.votes),
            ]
            for number, decision in run.decisions.items()
        },
        "met": {name: sorted(state.met) for name, state in run.triggers.items()},
        "cells": {key: [cell.passed, cell.failed, cell.errors] for key, cell in run.cells.items()},
        "no_return": run.no_return_at.isoformat() if run.no_return_at else "",
        "missed": run.missed,
        "holes": len(run.holes),
    }
