"""The sender's side of ingest: which files, how small, and what became of each."""

from edge.adding.files import SUFFIXES, find_pictures, printable
from edge.adding.shrink import shrink, smaller
from edge.adding.uploader import Sent, Uploader

__all__ = ["SUFFIXES", "Sent", "Uploader", "find_pictures", "printable", "shrink", "smaller"]
