"""
Every fault that a runbook or a deployment file can have, as a closed list of codes.

A code is stable once released: people search for it, and `docs/runbook.md` explains each. E1 is the
file, E2 the schema, E3 references, E4 meaning, E5 the deployment file; PB is the playbook.
"""

import difflib
from collections.abc import Iterable
from enum import StrEnum
from itertools import islice


class Code(StrEnum):
    """What is wrong, in one word."""

    TOO_LARGE = "E101"  #: more than 256 KB
    NOT_UTF8 = "E102"  #: other bytes than UTF-8 text
    NOT_YAML = "E103"  #: the text is no YAML
    MANY_DOCUMENTS = "E104"  #: a second `---` document
    NOT_A_MAPPING = "E105"  #: empty, or no keys at the top
    DUPLICATE_KEY = "E106"  #: one key twice in one mapping
    ANCHOR = "E107"  #: an anchor `&x` or an alias `*x`
    TAG = "E108"  #: a tag `!x`
    MERGE_KEY = "E109"  #: `<<:`
    UNQUOTED = "E110"  #: YAML reads a number, a time or yes/no where text is meant
    NO_VALUE = "E111"  #: a key with nothing after it
    TOO_DEEP = "E112"  #: nested deeper than any runbook needs
    ODD_KEY = "E113"  #: a key that is no plain word

    MISSING = "E201"  #: a key that must be there
    UNKNOWN_KEY = "E202"  #: a key that means nothing here
    WRONG_TYPE = "E203"  #: a list where text is wanted, and so on
    NOT_A_CHOICE = "E204"  #: none of the words that are possible here
    BAD_VALUE = "E205"  #: a value that breaks a rule of its field
    BAD_NAME = "E206"  #: an identifier or address that is not spelled as one
    OUT_OF_RANGE = "E207"  #: too small, too large, too short, too long

    NO_SUCH_STEP = "E301"  #: `needs` names no step
    NO_SUCH_ROLE = "E302"  #: a role that is not in `roles`
    NO_SUCH_CHECK = "E303"  #: a check that is not in `checks`
    TWICE = "E304"  #: one id, or one entry of a list, twice
    CYCLE = "E305"  #: steps that wait for each other
    NO_SUCH_KIND = "E306"  #: a kind of check that this installation has not
    NO_POLICY = "E307"  #: `approvals` lacks a policy
    NO_SUCH_TARGET = "E308"  #: a target that the deployment file does not list
    NO_SUCH_PERSON = "E309"  #: a person that the deployment file does not list
    NO_SUCH_ROOM = "E310"  #: a room that the deployment file does not list

    UNSIGNABLE = "E401"  #: a trigger without owner or source
    NO_CONDITION = "E402"  #: a check that can never fail
    SHORT_TIMEOUT = "E403"  #: `timeout` not above the sum of the service limits
    SHORT_WATCH = "E404"  #: a watch under 90 minutes on phase portability
    INCOMPLETE_STEP = "E405"  #: a step without what its kind needs
    MISPLACED = "E406"  #: a field or step where its kind has no place
    WINDOW_TIME = "E407"  #: a window time that is not one moment of local time
    WINDOW_ORDER = "E408"  #: a window that closes before it opens
    UNKNOWN_ZONE = "E409"  #: no such time zone
    EMERGENCY_NUMBER = "E410"  #: a number that reaches emergency services
    NO_ROLLBACK = "E411"  #: go-back is offered and there is nothing to go back with
    NO_MEMBERS = "E412"  #: a trigger per origin over a check without origins
    BAD_CELLS = "E413"  #: axes that make no cells, ambiguous cells, or too many
    SHORT_GAP = "E414"  #: `gap` not above `every`
    UNREACHABLE_POLICY = "E415"  #: more distinct people wanted than the roles have
    ADDRESS = "E416"  #: an address or a secret in a runbook
    CONTROL_MEASURED = "E417"  #: one number both measured and control
    NO_STEPS = "E418"  #: a plan without a step

    ACCOUNT_TWICE = "E501"  #: one account listed for two people
    LITERAL_SECRET = "E502"  # noqa: S105 - the name of a fault  #: a secret written out for a host that is not this machine

    READINESS_FIRST = "PB1"  #: every other phase requires destination-readiness
    MEDIATION_FIRST = "PB4"  #: subscribers and billing move after mediation
    COHORTS = "PB5"  #: each move of a cohort stands behind its own gate
    STABILISATION = "PB7"  #: BSS cutover requires the cohorts and a watch of its own
    INTEGRATIONS_FIRST = "PB8"  #: BSS cutover requires the api integrations
    DUAL_WRITE = "PB9"  #: parallel operations measure the writing to both sides
    RECONCILE = "PB10"  #: reconciliation at least every 4 h
    FINANCE_GATE = "PB11"  #: finance owns the release of bill runs
    PARALLEL_PERIOD = "PB12"  #: four weeks of running in parallel at least
    NO_RETURN = "PB13"  #: the point of no return has its own gate and its own way back
    ROLL_CALL = "PB14"  #: network operations and the MNO partner answer before the switch
    WINDOW = "PB15"  #: two hours at most, and 90 minutes of watching after it
    COVERAGE = "PB16"  #: voice in and out, SMS on two carriers, data, IVR
    SIGNATORIES = "PB17"  #: every role that owns a criterion signs
    CONSERVATIVE = "PB18"  #: criteria that a healthy network seldom meets
    CARE = "PB19"  #: customer care has a role
    DIGEST = "PB20"  #: stakeholders hear of it on schedule
    COMPLETION = "PB21"  #: finance agrees that it is complete


#: Playbook rules without which no run is opened; the others are for `lint`.
BINDING = frozenset({Code.NO_RETURN, Code.WINDOW, Code.SIGNATORIES})


#: The most words a misspelled one is compared with: nobody reads a list of more, and comparing is slow.
MOST_COMPARED = 100


def near(word: str, known: Iterable[str], most: int = MOST_COMPARED) -> str:
    """Return the remedy for a word that is not among *known*: the nearest one, or all of them."""
    words = list(islice(dict.fromkeys(known), most))
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    if close:
        return f'Did you mean "{close[0]}"?'
    return f"Known here: {', '.join(words)}." if words else "There is none here."
