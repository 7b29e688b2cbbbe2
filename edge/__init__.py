"""Reminisce Edge, the device: a private memory for what a device sees. Start reading at `edge.engine`."""

__version__ = "0.1.0"
