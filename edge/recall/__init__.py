"""From a question to ranked answers: a coarse search over everything, then the best few finished."""

from edge.recall.ahead import Ahead
from edge.recall.allowance import Allowance
from edge.recall.candidate import Candidate
from edge.recall.correcting import Corrector, Ranked, Ranking
from edge.recall.earlier import Earlier
from edge.recall.filtering import Filter
from edge.recall.follower import Follower
from edge.recall.granularity import Granularities
from edge.recall.haste import Haste
from edge.recall.missing import Missing
from edge.recall.opening import open_earlier
from edge.recall.questions import Questions
from edge.recall.refining import Refining
from edge.recall.retriever import Retriever

__all__ = [
    "Ahead",
    "Allowance",
    "Candidate",
    "Corrector",
    "Earlier",
    "Filter",
    "Follower",
    "Granularities",
    "Haste",
    "Missing",
    "Questions",
    "Ranked",
    "Ranking",
    "Refining",
    "Retriever",
    "open_earlier",
]
