"""An exit whose files find less than torch does is refused by its depth, and how much it lost is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the host tools: make convert-env")

import torch

from converter.console import Console
from converter.recipe import VerifyRecipe
from converter.stages import Context, Order, save_arrays
from converter.steps.verify import _check_recall
from converter.verify import DriftError
from edge.items import Floats
from learnt_small import EXITS, FEATURES, Small, pixels

pytestmark = pytest.mark.convert

ITEMS = 40
ROWS = np.arange(5, 5 + ITEMS)  # the test side, among 50 items


@pytest.fixture
def context(tmp_path: Path, small: Small, console: Console) -> Context:
    """What `heal` left: the features of all items at every exit."""
    x = torch.from_numpy(pixels(50, seed=3))
    with torch.no_grad():
        features = {str(depth): small.item.pool(small.item.segment(0, depth)(x)).numpy() for depth in EXITS}
    save_arrays(tmp_path / "features.npz", **features)
    recipe = replace(small.recipe, verify=VerifyRecipe(recall_loss=0.02))
    return Context(out=tmp_path, recipe=recipe, order=Order(), console=console, artefacts={"heal": tmp_path})


@pytest.fixture
def asked() -> Floats:
    """(40, F) one question an item."""
    return np.random.default_rng(1).standard_normal((ITEMS, FEATURES)).astype(np.float32)


@torch.no_grad()
def through_files(context: Context, small: Small, asked: Floats) -> tuple[list[Floats], list[Floats], Floats]:
    """Items (40, D) and questions at each exit as exact files give them, and whose each question is.

    The heads are untaught, so a question's own item is the one that it finds first at the shallowest exit.
    """
    features = np.load(context.out / "features.npz")
    items = [small.learnt.items[d].embed(torch.from_numpy(features[str(d)][ROWS])).numpy() for d in EXITS]
    queries = [small.learnt.queries[d](torch.from_numpy(asked)).numpy() for d in EXITS]
    return items, queries, (queries[0] @ items[0].T).argmax(1)


def check(context: Context, small: Small, asked: Floats, damaged: int | None) -> None:
    items, queries, owners = through_files(context, small, asked)
    if damaged is not None:
        items[damaged] = -items[damaged]
    _check_recall(context, small.learnt, ROWS, asked, owners, items, queries)  # type: ignore[arg-type]


def test_files_that_find_what_torch_finds_pass(context: Context, small: Small, asked: Floats) -> None:
    check(context, small, asked, None)


def test_exit_that_finds_less_through_its_files_is_named_with_both_recalls(
    context: Context, small: Small, asked: Floats
) -> None:
    with pytest.raises(DriftError) as caught:
        check(context, small, asked, damaged=0)
    told = str(caught.value)
    assert told.startswith(f"the exit at depth {EXITS[0]} finds 0.")
    assert " (recall@10) through its files and 1.000 in torch: verify.recall_loss allows 0.02: " in told
    assert told.endswith("nothing was packed; put a more exact format first in item.formats")


def test_shuffled_items_of_the_last_exit_are_named_by_its_depth(context: Context, small: Small) -> None:
    with torch.no_grad():
        asked = np.random.default_rng(2).standard_normal((ITEMS, FEATURES)).astype(np.float32)
    items, queries, _ = through_files(context, small, asked)
    owners = (queries[-1] @ items[-1].T).argmax(1)
    items[-1] = items[-1][np.random.default_rng(0).permutation(ITEMS)]
    with pytest.raises(DriftError, match=rf"^the exit at depth {EXITS[-1]} finds 0\.\d+ \(recall@10\)"):
        _check_recall(context, small.learnt, ROWS, asked, owners, items, queries)


def test_loss_that_the_recipe_allows_passes(context: Context, small: Small, asked: Floats) -> None:
    lax = replace(context, recipe=replace(context.recipe, verify=VerifyRecipe(recall_loss=1.0)))
    check(lax, small, asked, damaged=0)
