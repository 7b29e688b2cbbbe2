"""Confidence numbers that need other stored items beside the bank; measured for the report, see `policies`.

A device has no such neighbours at first, and at later exits only items that got there: what this measures, with every
item of the gallery at every exit, is the most that they could add.
"""

from __future__ import annotations

import numpy as np

from edge.items import Floats

_BEST = 20
_QUERIES = 10


def neighbour_numbers(items: Floats, bank: Floats) -> Floats:
    """(N, D) items and (R, D) bank rows at one exit -> (N, 8).

    Largest, mean of 5 and 20 largest and mean similarity to the other items; log(1 + bank rows that hold the item in
    their best 20); mean, least and first log-rank of the item under its 10 nearest bank rows. Means are over what
    there is: two items or more, and any bank.
    """
    most = min(_BEST, len(items) - 1)
    among = items @ items.T
    np.fill_diagonal(among, -np.inf)
    best = np.sort(np.partition(among, -most, axis=1)[:, -most:], axis=1)[:, ::-1]
    np.fill_diagonal(among, 0)
    sims = bank @ items.T  # (R, N)
    order = np.argsort(-sims, axis=1)
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(len(items))[None, :], axis=1)
    held = np.log1p((ranks < _BEST).sum(0))
    near = np.argsort(-sims, axis=0)[:_QUERIES].T  # (N, 10)
    logs = np.log1p(ranks[near, np.arange(len(items))[:, None]])
    columns = (
        best[:, 0],
        best[:, :5].mean(1),
        best.mean(1),
        among.sum(1) / (len(items) - 1),
        held,
        logs.mean(1),
        logs.min(1),
        logs[:, 0],
    )
    return np.stack(columns, axis=1).astype(np.float32)
