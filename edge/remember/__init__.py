"""From what arrives to durable items that can be found: accepted at once, embedded when there is time."""

from edge.remember.elevator import Elevator, Left
from edge.remember.inbox import Gate, Inbox, Settle
from edge.remember.intake import Intake
from edge.remember.notes import Notes
from edge.remember.policy import Fixed, Policy, choose_setting, open_policy

__all__ = [
    "Elevator",
    "Fixed",
    "Gate",
    "Inbox",
    "Intake",
    "Left",
    "Notes",
    "Policy",
    "Settle",
    "choose_setting",
    "open_policy",
]
