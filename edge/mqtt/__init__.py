"""The only door of the device: three clients of a broker, and what goes through them. The contract: PROTOCOL.md."""

from edge.mqtt.desk import Desk
from edge.mqtt.ingest import Ingest
from edge.mqtt.link import Outgoing, read_password
from edge.mqtt.messages import MODALITIES, MOST_OFFSET, SHORT_BYTES
from edge.mqtt.orders import OPS
from edge.mqtt.replies import ONLINE, encode, gate_event, outcome_event
from edge.mqtt.reply import Reply, Result, read_reply
from edge.mqtt.requester import Requester
from edge.mqtt.topics import Topics

__all__ = [
    "MODALITIES",
    "MOST_OFFSET",
    "ONLINE",
    "OPS",
    "SHORT_BYTES",
    "Desk",
    "Ingest",
    "Outgoing",
    "Reply",
    "Requester",
    "Result",
    "Topics",
    "encode",
    "gate_event",
    "outcome_event",
    "read_password",
    "read_reply",
]
