"""What the board takes, of which kind the figure is, and who used it."""

from edge.power.discovery import Found, find_meter
from edge.power.ledger import AHEAD, IDLE, RECALL, REMEMBER, Ledger, Spent
from edge.power.meter import KINDS, Joules, Kind, Meter, Reading, Watts
from edge.power.metering import Energy, Metering
from edge.power.sampler import Power, Sampler

__all__ = [
    "AHEAD",
    "IDLE",
    "KINDS",
    "RECALL",
    "REMEMBER",
    "Energy",
    "Found",
    "Joules",
    "Kind",
    "Ledger",
    "Meter",
    "Metering",
    "Power",
    "Reading",
    "Sampler",
    "Spent",
    "Watts",
    "find_meter",
]
