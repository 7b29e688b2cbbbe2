"""Reminisce Edge, the host: turns pretrained towers into a bundle. Start reading at `converter.pipeline`."""
