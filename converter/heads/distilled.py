"""Fits the heads on cached features: the last exit on captions and class names, the early exits on the last.

`recipes/demo.yaml` gives the settings and what they were chosen on; `make figures` measures the result.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from converter.console import Console
from converter.heads.forms import ExitHead, FullHead, QueryHead, unit
from converter.heads.runaway import Watch
from converter.heads.steps import Descent, Progress, batches, contrast, drop, step_count
from converter.recipe import DistilledHeads, ExitHeadRecipe, FullHeadRecipe, Training


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """What the frozen towers make of the training photos; P photos, V views of them, V >= P, the plain views first.

    photos:   P
    pooled:   (V, 1280) at the end of the image tower
    exits:    depth -> (V, 7 C) statistics at each early exit
    captions: (P, K, 384) text tower outputs, K captions a photo; None without captions
    classes:  (1000, 5, 384) text tower outputs of the class texts
    """

    photos: int
    pooled: Tensor
    exits: dict[int, Tensor]
    captions: Tensor | None
    classes: Tensor


@dataclass(frozen=True, slots=True)
class Heads:
    """One head for each early exit, shallow to deep, the last exit's and the query's."""

    exits: tuple[ExitHead, ...]
    full: FullHead
    query: QueryHead


def fit_heads(features: Features, classifier: nn.Linear, recipe: DistilledHeads, seed: int, console: Console) -> Heads:
    """All heads of the two towers: the last exit and the query first, then the early exits after their example."""
    centre = class_centre(features)
    class_texts = unit(unit(features.classes.mean(1)) - centre)
    full = FullHead(classifier, class_texts, recipe.full.temperature, recipe.full.residual)
    query = QueryHead(centre)
    with console.bar(recipe.full.training.epochs, "epochs of the last exit") as tick:
        fit_full_head(full, query, features, recipe.full, seed, tick)
    with torch.no_grad():
        teacher = full.embed(features.pooled)
        captions = query(features.captions) if features.captions is not None else None
    exits = []
    for depth, inputs in features.exits.items():
        with console.bar(recipe.exit.training.epochs, f"epochs of the exit at depth {depth}") as tick:
            exits.append(fit_exit_head(inputs, teacher, captions, features.photos, recipe.exit, seed + depth, tick))
    return Heads(tuple(exits), full, query)


def class_centre(features: Features) -> Tensor:
    """(384,) mean of the mean caption and the mean class text: what every sentence shares and no query is about."""
    classes = unit(features.classes.mean(1))
    if features.captions is None:
        return classes.mean(0)
    return (features.captions.flatten(0, 1).mean(0) + classes.mean(0)) / 2


def fit_full_head(
    head: FullHead, query: QueryHead, features: Features, recipe: FullHeadRecipe, seed: int, progress: Progress
) -> None:
    """Train `head` and `query` in place, on captions (InfoNCE) and the classifier's own guesses; plain views alone.

    The class term keeps names and kinds that no caption uses: its target is the classifier's softmax over the same
    photo, and each step tells every class by another of its five texts.
    """
    captions = features.captions
    if captions is None:
        return  # the residual alone: class names, untrained
    generator = torch.Generator().manual_seed(seed)
    per_photo = captions.shape[1]
    inputs, logits = head.features(features.pooled[: features.photos])
    target = torch.softmax(logits, -1)
    classes, texts = features.classes.shape[:2]
    log_scale = nn.Parameter(torch.tensor(3.0))
    trained = [*(p for p in (*head.parameters(), *query.parameters()) if p.requires_grad), log_scale]
    descent = _descent(trained, len(inputs), recipe.training, ("the last exit's heads", "heads.full.training.rate"))
    for rows in batches(len(inputs), recipe.training.batch, recipe.training.epochs, generator, progress):
        pick = torch.randint(per_photo, (len(rows),), generator=generator)
        pictures = head.combine(drop(inputs[rows], recipe.training.dropout, generator), logits[rows])
        loss = contrast(pictures, query(captions[rows, pick]), log_scale.exp())
        told = features.classes[torch.arange(classes), torch.randint(texts, (classes,), generator=generator)]
        guesses = log_scale.exp() * pictures @ query(told).T
        loss = loss + recipe.class_weight * nn.functional.cross_entropy(guesses, target[rows])
        descent.step(loss)


def fit_exit_head(
    features: Tensor,
    teacher: Tensor,
    captions: Tensor | None,
    photos: int,
    recipe: ExitHeadRecipe,
    seed: int,
    progress: Progress,
) -> ExitHead:
    """A head for one exit, distilled from the last.

    features: (V, 7 C) statistics; teacher: (V, D) the last exit's embeddings; captions: (P, K, D) of queries, if any;
    photos: P, of which the V rows are views
    """
    generator = torch.Generator().manual_seed(seed)
    head = ExitHead(features.mean(0), features.std(0) + 1e-3)
    bound = features.shape[1] ** -0.5
    head.linear.weight.data.uniform_(-bound, bound, generator=generator)
    nn.init.zeros_(head.linear.bias)
    standardised = head.standardised(features)
    log_scale = nn.Parameter(torch.tensor(3.0))
    trained = [*head.parameters(), log_scale]
    descent = _descent(trained, len(features), recipe.training, ("an early exit's head", "heads.exit.training.rate"))
    for rows in batches(len(features), recipe.training.batch, recipe.training.epochs, generator, progress):
        dropped = drop(standardised[rows], recipe.training.dropout, generator)
        student, wanted = unit(head.linear(dropped)), teacher[rows]
        photo = rows % photos
        same = _other_views(photo)
        loss = recipe.cosine_weight * (1 - (student * wanted).sum(1)).mean()
        loss = loss + contrast(student, wanted, log_scale.exp(), same)
        if captions is not None:
            pick = torch.randint(captions.shape[1], (len(rows),), generator=generator)
            texts = captions[photo, pick]
            loss = loss + recipe.caption_weight * contrast(student, texts, log_scale.exp(), same)
        descent.step(loss)
    return head


def _other_views(photo: Tensor) -> Tensor:
    """(B, B): whether two rows of a batch show the same photo; they are no negatives of each other."""
    return (photo[:, None] == photo[None, :]) & ~torch.eye(len(photo), dtype=torch.bool)


def _descent(parameters: list[nn.Parameter], rows: int, training: Training, told: tuple[str, str]) -> Descent:
    what, rate = told
    watch = Watch(what=what, steps=step_count(rows, training.batch, training.epochs), rate=rate)
    return Descent({training.rate: parameters}, training.decay, watch, plain=True)
