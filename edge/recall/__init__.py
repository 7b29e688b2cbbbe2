"""From a question to ranked answers: a coarse search over everything, then the best few finished."""

from edge.recall.correcting import Corrector
from edge.recall.filtering import Filter
from edge.recall.retriever import Retriever

__all__ = ["Corrector", "Filter", "Retriever"]
