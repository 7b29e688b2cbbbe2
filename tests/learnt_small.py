"""A small build with everything learnt: a ViT of four layers, a word tower, two spaces for three exits, all nets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor, nn

from converter import layout
from converter.heads.paired import GranularityHead, ItemHead
from converter.heads.pooling import Pool
from converter.learnt import Learnt, Predictor
from converter.pack import records
from converter.predictor import Gate, SurvivalNet
from converter.recipe import DataRecipe, ItemRecipe, PairedHeads, PredictRecipe, QueryRecipe, Recipe, Training
from converter.towers.opening import open_item_tower
from converter.towers.tower import ItemTower, Origin
from converter.towers.words import WordTower
from converter.writing import write_item_tower, write_query_tower
from edge.bundle import SCHEMA, Calibration, Manifest, Policies, PolicySetting, Tower
from edge.items import Floats
from edge.relevance import NUMBERS, Norm
from references import pictures
from tiny_vit import SIDE, write_vit

SENTENCE, FEATURES, DIMENSION = 6, 32, 16
EXITS = (2, 3, 4)
WORDS = ("[PAD]", "a", "dog", "runs", "on", "the", "red", "house", "with", "water")
TABLE_ROWS = 16  # more than there are words, as in published tables


class Bag(nn.Module):
    """A sentence as a linear map of the mean of its words: x (N, T, W) and mask (N, T) -> (N, F)."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(FEATURES, FEATURES)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        y: Tensor = self.linear((x * mask.reshape(-1, SENTENCE, 1)).sum(1))
        return y


class PlainBag(nn.Module):
    """The same of all places, padding too: CLIP and SigLIP take no mask."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(FEATURES, FEATURES)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.linear(x.sum(1))
        return y


@dataclass(frozen=True)
class Small:
    """The recipe, both towers, and all that was learnt on them."""

    recipe: Recipe
    item: ItemTower
    query: WordTower
    learnt: Learnt


def small_recipe(
    *, exits: tuple[int, ...] = EXITS[:-1], cuts: tuple[int, ...] = (1,), query: QueryRecipe | None = None
) -> Recipe:
    """Segments in two formats, one of them for one runtime alone."""
    return Recipe(
        model="small",
        data=DataRecipe(kind="none"),
        item=ItemRecipe(kind="vit", exits=exits, cuts=cuts, formats=("dynamic-int8", "float16")),
        query=query or QueryRecipe(kind="minilm", group=16),
        heads=PairedHeads(
            kind="paired",
            dimension=DIMENSION,
            hidden=0,
            training=Training(epochs=1, batch=2, rate=1e-3, decay=0, dropout=0),
        ),
    )


def word_tower(folder: Path, *, masked: bool = True) -> WordTower:
    """A tower of questions with a tokenizer of ten words."""
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token=WORDS[1]))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.enable_padding(pad_id=0, pad_token=WORDS[0])
    tokenizer.save(str(folder / "tokenizer.json"), pretty=True)
    random = np.random.default_rng(0)
    return WordTower(
        origin=Origin(name="bag", licence="MIT", credit="a bag of words"),
        segment=(Bag() if masked else PlainBag()).eval(),
        layers=1,
        width=FEATURES,
        features=FEATURES,
        tokens=SENTENCE,
        masked=masked,
        table=random.standard_normal((TABLE_ROWS, FEATURES)).astype(np.float32),
        positions=random.standard_normal((SENTENCE, FEATURES)).astype(np.float32),
        tokenizer=folder / "tokenizer.json",
        published=None,
    )


def pixels(count: int, seed: int = 0) -> Floats:
    """(count, S, S, 3) pictures as the tower takes them."""
    made: Floats = pictures(count, SIDE, seed).numpy()
    return made


@torch.no_grad()
def small_build(folder: Path) -> Small:
    """Both towers opened from `folder`, and heads that are standardised as taught ones are."""
    recipe = small_recipe()
    write_vit(folder / "vit")
    item, query = open_item_tower(recipe.item, folder / "vit"), word_tower(folder)
    torch.manual_seed(1)
    x = torch.from_numpy(pixels(64, seed=9))
    features = {depth: item.pool(item.segment(0, depth)(x)) for depth in EXITS}
    shared, last = (_query_head() for _ in range(2))
    return Small(recipe, item, query, _learnt(item, features, {2: shared, 3: shared, 4: last}))


def write_files(folder: Path, small: Small) -> tuple[Tower, Tower]:
    """Every file but the manifest, and both towers as it will describe them."""
    image = layout.item_spec(small.recipe, small.item, small.learnt)
    text = layout.query_spec(small.recipe, small.query, image.exits[-1].query)
    write_query_tower(folder, small.query, text)
    write_item_tower(folder, small.item, image, small.learnt, lambda _models: None)
    return image, text


def manifest(folder: Path, small: Small, towers: tuple[Tower, ...]) -> Manifest:
    """What the stage `pack` would say of the files in `folder`."""
    return Manifest(
        schema=SCHEMA,
        model=small.recipe.model,
        purpose="for tests",
        licence="Apache-2.0",
        attribution=("made here",),
        dimension=DIMENSION,
        towers=towers,
        bank=layout.bank_entry(small.learnt),
        files=records(folder),
        calibrated=True,
    )


def _learnt(item: ItemTower, features: dict[int, Tensor], queries: dict[int, GranularityHead]) -> Learnt:
    heads = {
        depth: ItemHead(Pool(item), rows.mean(0), rows.std(0) + 1e-4, DIMENSION, 0) for depth, rows in features.items()
    }
    width = NUMBERS + features[EXITS[0]].shape[1]
    random = np.random.default_rng(3)
    map_ = Calibration(cosine=9, mean=-1, spread=0.5, top=-2, bias=-1)
    return Learnt(
        exits=EXITS,
        items=heads,
        queries=queries,
        costs={2: 0.5, 3: 0.7500004, 4: 1.0},
        dimension=DIMENSION,
        width=FEATURES,
        bank=random.standard_normal((24, FEATURES)).astype(np.float32),
        calibrations=dict.fromkeys(EXITS, map_),
        predictor=Predictor(
            net=SurvivalNet(width, len(EXITS), PredictRecipe(), seed=0).joined(),
            norm=Norm(np.zeros(width, np.float32), np.ones(width, np.float32)),
            samples=random.standard_normal((64, width)).astype(np.float32),
        ),
        gates={depth: _gate(NUMBERS if not place else 2 * NUMBERS + 2, 3 - place) for place, depth in enumerate(EXITS)},
        policies=_policies(),
    )


def _query_head() -> GranularityHead:
    return GranularityHead(torch.randn(FEATURES), torch.rand(FEATURES) + 0.5, DIMENSION)


def _gate(width: int, exits: int) -> Gate:
    net = SurvivalNet(width, exits, PredictRecipe(), seed=width).joined()
    return Gate(torch.randn(width), torch.rand(width) + 0.5, net)


def _policies() -> Policies:
    settings = [_setting(policy) for policy in ("fixed", "predict", "gate")]
    return Policies(default="predict", stray=60, survival=(0.5, 0.6, 0.7), settings=tuple(settings))


def _setting(policy: str) -> PolicySetting:
    shares: Sequence[float] = (0.5, 0.25, 0.25)
    return PolicySetting(
        policy=policy,  # type: ignore[arg-type]  # one of three
        centre=2,
        cost=0.7,
        recall_at_1=0.2,
        recall_at_10=0.5,
        kept_at_10=0.96,
        exits=tuple(shares),
    )
