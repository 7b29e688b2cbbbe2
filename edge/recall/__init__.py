"""From a question to ranked answers: a coarse search over everything, then the best few finished."""

from edge.recall.correcting import Corrector, Ranking
from edge.recall.filtering import Candidate, Filter
from edge.recall.follower import Follower
from edge.recall.granularity import Granularities
from edge.recall.questions import Questions
from edge.recall.retriever import Retriever

__all__ = ["Candidate", "Corrector", "Filter", "Follower", "Granularities", "Questions", "Ranking", "Retriever"]
