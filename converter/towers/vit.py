"""Hugging Face ViT as a tower: an image classifier whose layers are read at any depth; its classes are not used."""

from __future__ import annotations

from typing import Any

from transformers import ViTForImageClassification, ViTImageProcessorPil

from converter.towers.checkpoint import Checkpoint
from converter.towers.encoder import activation
from converter.towers.patches import PatchTower
from converter.towers.pixels import image_preprocess
from converter.towers.transformer import LayerParts, PatchStem

FAMILY = "vit"
_ADAPTED = ("attention.q_proj", "attention.k_proj", "attention.v_proj", "attention.o_proj", "mlp.fc1", "mlp.fc2")


def item_tower(checkpoint: Checkpoint) -> PatchTower:
    """The encoder of a ViTForImageClassification. Raises UsageError."""
    model = checkpoint.model(ViTForImageClassification)
    config, embeddings = model.config, model.vit.embeddings
    places, class_token = embeddings.position_embeddings.data[0], embeddings.cls_token.data[0, 0]

    def parts(layer: Any) -> LayerParts:
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
            heads=config.num_attention_heads,
            activation=activation(config.hidden_act),
        )

    return PatchTower(
        origin=checkpoint.origin(),
        preprocess=image_preprocess(checkpoint, ViTImageProcessorPil, config.image_size),
        stem=PatchStem(embeddings.patch_embeddings.projection, places, class_token),
        layers=model.vit.layers,
        parts=parts,
        adapted=_ADAPTED,
        published=None,
    )
