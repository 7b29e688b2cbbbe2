"""Pre-norm transformer layers in the form that TFLite runs fast: exact rewrites of published layers.

Rank 2 inside, (N*T, W), so that every linear map becomes FULLY_CONNECTED; the affine part of a layer norm and the scale
of attention are folded into the next linear map; the batch stays free. Shapes: N items, T tokens, W width; float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

Activation = Literal["gelu", "gelu-tanh", "quick-gelu"]
_ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "gelu": nn.functional.gelu,
    "gelu-tanh": lambda x: nn.functional.gelu(x, approximate="tanh"),
    "quick-gelu": lambda x: x * torch.sigmoid(1.702 * x),
}


def rewritten(name: Activation) -> Callable[[Tensor], Tensor]:
    """The function of that name, in operators that TFLite has."""
    return _ACTIVATIONS[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerParts:
    """The weights of one published layer, by their part in it."""

    norm_1: nn.LayerNorm
    query: nn.Linear
    key: nn.Linear
    value: nn.Linear
    out: nn.Linear
    norm_2: nn.LayerNorm
    wide: nn.Linear
    narrow: nn.Linear
    heads: int
    activation: Activation


def folded(norm: nn.LayerNorm, linear: nn.Linear, scale: float = 1.0) -> nn.Linear:
    """`linear` behind the affine part of `norm`, times `scale`, as one map."""
    whole = nn.Linear(linear.in_features, linear.out_features)
    bias = linear.bias.data if linear.bias is not None else torch.zeros(linear.out_features)
    whole.weight.data = linear.weight.data * norm.weight.data * scale
    whole.bias.data = (bias + linear.weight.data @ norm.bias.data) * scale
    return whole


def copied(linear: nn.Linear) -> nn.Linear:
    """`linear` with weights of its own, and with a bias: without one it would not become FULLY_CONNECTED."""
    whole = nn.Linear(linear.in_features, linear.out_features)
    whole.weight.data = linear.weight.data.clone()
    whole.bias.data = torch.zeros(linear.out_features) if linear.bias is None else linear.bias.data.clone()
    return whole


def plain_norm(x: Tensor, epsilon: float) -> Tensor:
    """Layer norm without its affine part, in operators that TFLite has."""
    x = x - x.mean(-1, keepdim=True)
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + epsilon)


class Layer(nn.Module):
    """One layer on rank-2 rows (N*T, W); `causal`: a token attends to those before it alone."""

    mask: Tensor | None

    def __init__(self, parts: LayerParts, tokens: int, *, causal: bool = False) -> None:
        super().__init__()
        self.tokens, self.heads = tokens, parts.heads
        self.size = parts.query.out_features // parts.heads
        self.epsilons = (parts.norm_1.eps, parts.norm_2.eps)
        self.query = folded(parts.norm_1, parts.query, self.size**-0.5)
        self.key = folded(parts.norm_1, parts.key)
        self.value = folded(parts.norm_1, parts.value)
        self.out = copied(parts.out)
        self.wide = folded(parts.norm_2, parts.wide)
        self.narrow = copied(parts.narrow)
        self.activation = rewritten(parts.activation)
        mask = torch.full((tokens, tokens), -1e4).triu(1) if causal else None
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        rows = plain_norm(x, self.epsilons[0])
        query, key, value = (self._split(part(rows)) for part in (self.query, self.key, self.value))
        scores = query @ key.transpose(-1, -2)
        if self.mask is not None:
            scores = scores + self.mask
        mixed = torch.softmax(scores, -1) @ value
        x = x + self.out(mixed.permute(0, 2, 1, 3).reshape(-1, self.heads * self.size))
        y: Tensor = x + self.narrow(self.activation(self.wide(plain_norm(x, self.epsilons[1]))))
        return y

    def _split(self, x: Tensor) -> Tensor:
        return x.reshape(-1, self.tokens, self.heads, self.size).permute(0, 2, 1, 3)


class Layers(nn.Module):
    """A run of layers, behind `stem` where it is the first: (N, T, W) -> (N, T, W)."""

    def __init__(
        self, parts: Sequence[LayerParts], tokens: int, *, stem: nn.Module | None = None, causal: bool = False
    ) -> None:
        super().__init__()
        self.tokens = tokens
        self.stem = stem
        self.layers = nn.ModuleList(Layer(part, tokens, causal=causal) for part in parts)
        self.width = parts[0].out.out_features

    def forward(self, x: Tensor) -> Tensor:
        if self.stem is not None:
            x = self.stem(x)
        x = x.reshape(-1, self.width)
        for layer in self.layers:
            x = layer(x)
        return x.reshape(-1, self.tokens, self.width)


class PatchStem(nn.Module):
    """Pixels (N, S, S, 3) -> tokens (N, T, W): patches, a row for the class token before them if there is one, places.

    CLIP has a layer norm over all of it.

    The class token is added to its place's embedding, on an all-zero row: a row of its own would need the batch's size
    in the graph, which tflite-runtime 2.14 then runs without its delegate.
    """

    places: Tensor

    def __init__(
        self, patches: nn.Conv2d, places: Tensor, class_token: Tensor | None, *, norm: nn.LayerNorm | None = None
    ) -> None:
        """places: (T, W); class_token: (W,) or None."""
        super().__init__()
        self.patches = nn.Conv2d(3, patches.out_channels, patches.kernel_size[0], patches.stride[0], bias=True)
        self.patches.weight.data = patches.weight.data.clone()
        self.patches.bias = nn.Parameter(torch.zeros(patches.out_channels))
        places = places.clone()
        if patches.bias is not None:
            places[int(class_token is not None) :] += patches.bias.data
        if class_token is not None:
            places[0] += class_token
        self.classes = int(class_token is not None)
        self.norm = norm
        self.register_buffer("places", places)

    def forward(self, x: Tensor) -> Tensor:
        rows = self.patches(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        rows = rows.reshape(-1, len(self.places) - self.classes, rows.shape[-1])
        if self.classes:
            rows = nn.functional.pad(rows, (0, 0, 1, 0))
        placed: Tensor = rows + self.places
        if self.norm is None:
            return placed
        return plain_norm(placed, self.norm.eps) * self.norm.weight + self.norm.bias


class ClassAndMean(nn.Module):
    """(N, T, W) -> (N, 2 W): the class token and the mean of the patches. What early exits know lies in the patches."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x[:, 0], x[:, 1:].mean(1)], 1)


class MeanOfTokens(nn.Module):
    """(N, T, W) -> (N, W): for encoders without a class token."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1)


def thin(x: Tensor, keep: int, picks: Tensor, classes: int = 1) -> Tensor:
    """(N, T, W) -> (N, classes + keep, W): the class token if any and `keep` others, those of the largest `picks`.

    picks: random numbers (N, P) for the first P tokens behind the class token
    """
    kept = picks.topk(keep, 1).indices + classes
    rows = torch.gather(x, 1, kept[:, :, None].expand(-1, -1, x.shape[2]))
    return torch.cat([x[:, :classes], rows], 1)
