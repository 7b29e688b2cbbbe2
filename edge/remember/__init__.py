"""From files to durable items: what arrives rides up its tower once, to the exit where it leaves."""

from edge.remember.elevator import Elevator
from edge.remember.intake import Intake, Outcome

__all__ = ["Elevator", "Intake", "Outcome"]
