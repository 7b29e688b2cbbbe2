"""From what arrives to durable items that can be found: accepted at once, embedded when there is time."""

from edge.remember.elevator import Elevator
from edge.remember.inbox import Gate, Inbox, Settle
from edge.remember.intake import Intake

__all__ = ["Elevator", "Gate", "Inbox", "Intake", "Settle"]
