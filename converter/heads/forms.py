"""The small maps from an activation to the shared embedding space, one for each exit, and the query's.

Shapes: N items, H x W x C an activation, D = 384 the shared space; all float32, all outputs rows of unit L2 norm.
Every linear map acts on rank-2 tensors with a bias, so that TFLite gets FULLY_CONNECTED and weights can be INT8.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

DIMENSION = 384
GAIN = 6.0  # brings unit-norm features to the scale of the residual; without it AdamW at 1e-3 hardly moves them
STATISTICS = 7  # mean, max, spread and the means of four quarters


def unit(x: Tensor) -> Tensor:
    """Rows scaled to unit L2 norm, in operators that TFLite has."""
    return x / torch.sqrt((x * x).sum(-1, keepdim=True) + 1e-12)


def statistics(x: Tensor) -> Tensor:
    """(N, H, W, C) -> (N, 7 C): mean, max, spread, and the mean of each quarter of the map.

    Where things are in a picture is what early layers still know: the quarters are worth more than any other statistic.
    """
    # Plain numbers: traced as tensors, the halving of an odd side becomes float arithmetic that rounds the wrong way.
    height, width = int(x.shape[1]), int(x.shape[2])
    top, left = -(-height // 2), -(-width // 2)
    bottom, right = height // 2, width // 2
    mean = x.mean((1, 2), keepdim=True)
    spread = torch.sqrt(((x - mean) * (x - mean)).mean((1, 2)) + 1e-12)
    quarters = (x[:, :top, :left], x[:, :top, right:], x[:, bottom:, :left], x[:, bottom:, right:])
    return torch.cat([mean.flatten(1), x.amax((1, 2)), spread, *(quarter.mean((1, 2)) for quarter in quarters)], 1)


class ExitHead(nn.Module):
    """An early exit: statistics of the feature map, standardised, one linear map.

    forward: (N, H, W, C) -> (N, D); `embed` starts from the statistics (N, 7 C)
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        self.linear = nn.Linear(len(mean), DIMENSION)

    def standardised(self, features: Tensor) -> Tensor:
        return (features - self.mean) / self.scale

    def embed(self, features: Tensor) -> Tensor:
        return unit(self.linear(self.standardised(features)))

    def forward(self, x: Tensor) -> Tensor:
        return self.embed(statistics(x))


class FullHead(nn.Module):
    """The last exit: a trained map on the pooled features, added to what the classifier's class names mean.

    The residual is ConSE: the class texts, weighted by softmax(logits / temperature). It knows names that no training
    photo showed; the trained part knows scenes that no class names. Its weight is given, not learnt: left to the
    captions it sinks, and names and kinds of things with it.

    forward: (N, 7, 7, 1280) -> (N, D); `embed` starts from the pooled features (N, 1280)
    """

    def __init__(self, classifier: nn.Linear, class_texts: Tensor, temperature: float, residual: float) -> None:
        super().__init__()
        self.classifier = nn.Linear(classifier.in_features, classifier.out_features)
        self.classifier.load_state_dict(classifier.state_dict())
        self.class_texts = nn.Linear(len(class_texts), DIMENSION)
        self.class_texts.weight.data, self.class_texts.bias.data = class_texts.T.clone(), torch.zeros(DIMENSION)
        for fixed in (*self.classifier.parameters(), *self.class_texts.parameters()):
            fixed.requires_grad = False
        self.log_temperature = nn.Parameter(torch.tensor(temperature).log())
        self.linear = nn.Linear(classifier.in_features + classifier.out_features, DIMENSION)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        self.residual = residual

    def features(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 1280) -> the trained map's input (N, 2280), and the logits (N, 1000)."""
        logits = self.classifier(pooled)
        chances = torch.sqrt(torch.softmax(logits / 2, -1) + 1e-12)
        return GAIN * torch.cat([unit(pooled), chances], 1), logits

    def combine(self, features: Tensor, logits: Tensor) -> Tensor:
        named = unit(self.class_texts(torch.softmax(logits * torch.exp(-self.log_temperature), -1)))
        return unit(self.linear(features) + self.residual * named)

    def embed(self, pooled: Tensor) -> Tensor:
        return self.combine(*self.features(pooled))

    def forward(self, x: Tensor) -> Tensor:
        return self.embed(x.mean((1, 2)))


class QueryHead(nn.Module):
    """The text tower's exit: centred, then turned a little towards the pictures. (N, 384) -> (N, D)."""

    centre: Tensor

    def __init__(self, centre: Tensor) -> None:
        super().__init__()
        self.register_buffer("centre", centre)
        self.linear = nn.Linear(DIMENSION, DIMENSION)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = unit(x - self.centre)
        return unit(x + self.linear(x))
