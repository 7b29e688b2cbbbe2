"""What the service manager and the board are told and asked."""

from edge.service.notify import Notifier
from edge.service.systemd import Systemd
from edge.service.vitals import Sample, Vitals

__all__ = ["Notifier", "Sample", "Systemd", "Vitals"]
