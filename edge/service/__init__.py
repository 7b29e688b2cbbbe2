"""What the service manager and the board are told and asked, and what the main thread is told."""

from edge.service.commands import Commands, Failure, News, Order, Reload, Reply, Stop
from edge.service.notify import Notifier
from edge.service.systemd import Systemd
from edge.service.vitals import Sample, Vitals

__all__ = [
    "Commands",
    "Failure",
    "News",
    "Notifier",
    "Order",
    "Reload",
    "Reply",
    "Sample",
    "Stop",
    "Systemd",
    "Vitals",
]
