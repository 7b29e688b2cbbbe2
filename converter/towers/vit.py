"""Hugging Face ViT as a tower: an image classifier whose layers are read at any depth; its classes are not used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from transformers import ViTForImageClassification

from converter.towers.tower import Origin
from converter.towers.transformer import ClassAndMean, LayerParts, Layers, PatchStem, thin
from edge.bundle import ImagePreprocess

_ADAPTED = ("attention.q_proj", "attention.k_proj", "attention.v_proj", "attention.o_proj", "mlp.fc1", "mlp.fc2")


class VitTower:
    """See ItemTower. An activation is (N, T, W): the class token, then the patches."""

    published = None

    def __init__(self, model: Any, origin: Origin, preprocess: ImagePreprocess) -> None:
        """model: a ViTForImageClassification."""
        self.origin, self.preprocess = origin, preprocess
        self._config, vit = model.config, model.vit
        self.layers: Sequence[nn.Module] = vit.layers
        embeddings = vit.embeddings
        places, class_token = embeddings.position_embeddings.data[0], embeddings.cls_token.data[0, 0]
        self._stem = PatchStem(embeddings.patch_embeddings.projection, places, class_token)
        self._tokens, self._pool = len(places), ClassAndMean()

    def stem(self, x: Tensor) -> Tensor:
        y: Tensor = self._stem(x)
        return y

    def shape(self, depth: int) -> tuple[int, ...]:  # noqa: ARG002 - the same at every depth
        return (self._tokens, self._config.hidden_size)

    def segment(self, start: int, end: int) -> nn.Module:
        parts = [self._parts(layer) for layer in self.layers[start:end]]
        return Layers(parts, self._tokens, stem=None if start else self._stem).eval()

    def pool(self, x: Tensor) -> Tensor:
        y: Tensor = self._pool(x)
        return y

    def adapted(self, layer: int) -> list[str]:  # noqa: ARG002 - the same in every layer
        return list(_ADAPTED)

    def thin(self, x: Tensor, keep: int, picks: Tensor) -> Tensor:
        return thin(x, keep, picks)

    def _parts(self, layer: Any) -> LayerParts:
        attention, mlp = layer.attention, layer.mlp
        return LayerParts(
            norm_1=layer.layernorm_before,
            query=attention.q_proj,
            key=attention.k_proj,
            value=attention.v_proj,
            out=attention.o_proj,
            norm_2=layer.layernorm_after,
            wide=mlp.fc1,
            narrow=mlp.fc2,
            heads=self._config.num_attention_heads,
            activation="gelu",
        )


def load(folder: Path) -> VitTower:
    """The tower of a ViTForImageClassification folder."""
    model = ViTForImageClassification.from_pretrained(folder).eval()
    origin = Origin(name=folder.name, licence="unknown", credit=f"ViT weights of {folder.name}: licence not stated")
    size = model.config.image_size
    preprocess = ImagePreprocess(kind="image", size=size, fit="squash", filter="bicubic", mean=127.5, scale=127.5)
    return VitTower(model, origin, preprocess)
