"""The encoder that CLIP and SigLIP share, for pictures and for sentences alike."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from converter.heads.forms import unit
from converter.towers.transformer import Activation, LayerParts, folded
from edge.errors import UsageError

ADAPTED = tuple(
    f"layer.{name}"
    for name in (
        "self_attn.q_proj",
        "self_attn.k_proj",
        "self_attn.v_proj",
        "self_attn.out_proj",
        "mlp.fc1",
        "mlp.fc2",
    )
)
_ACTIVATIONS: dict[str, Activation] = {
    "gelu": "gelu",
    "gelu_new": "gelu-tanh",
    "gelu_pytorch_tanh": "gelu-tanh",
    "quick_gelu": "quick-gelu",
}


class Unmasked(nn.Module):
    """A published layer of a picture's encoder: (N, T, W) -> (N, T, W), without the mask that it asks for."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x, None)
        return y


class Projection(nn.Module):
    """Features behind a plain norm -> the shared space: (N, F) -> (N, D), rows of unit L2 norm."""

    def __init__(self, norm: nn.LayerNorm, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = folded(norm, linear)

    def forward(self, x: Tensor) -> Tensor:
        return unit(self.linear(x))


def activation(name: str) -> Activation:
    """`hidden_act` of a config in our words. Raises UsageError."""
    if name not in _ACTIVATIONS:
        raise UsageError(f"hidden_act is {name!r} in config.json: must be one of {', '.join(sorted(_ACTIVATIONS))}")
    return _ACTIVATIONS[name]


def layer_parts(layer: Any, config: Any) -> LayerParts:
    """The weights of one published layer."""
    attention, mlp = layer.self_attn, layer.mlp
    return LayerParts(
        norm_1=layer.layer_norm1,
        query=attention.q_proj,
        key=attention.k_proj,
        value=attention.v_proj,
        out=attention.out_proj,
        norm_2=layer.layer_norm2,
        wide=mlp.fc1,
        narrow=mlp.fc2,
        heads=config.num_attention_heads,
        activation=activation(config.hidden_act),
    )
