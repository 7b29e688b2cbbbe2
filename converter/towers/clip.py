"""CLIP (A. Radford et al., 2021) as two towers: ViT-B/32, B/16, L/14 and whatever else its config describes."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers import CLIPImageProcessorPil, CLIPModel

from converter.heads.forms import unit
from converter.towers.checkpoint import Checkpoint
from converter.towers.encoder import ADAPTED, Projection, Unmasked, layer_parts
from converter.towers.patches import PatchTower
from converter.towers.pixels import image_preprocess
from converter.towers.transformer import Layers, PatchStem, folded, plain_norm
from converter.towers.words import WordTower, published_words, sentence_length

FAMILY = "clip"
_PAD = "<|endoftext|>"


class ClassProjection(nn.Module):
    """The published last part: the class token (N, T, W) -> (N, D), rows of unit L2 norm. Any exit may use it."""

    def __init__(self, norm: nn.LayerNorm, projection: nn.Linear) -> None:
        super().__init__()
        self.linear, self.epsilon = folded(norm, projection), norm.eps

    def forward(self, x: Tensor) -> Tensor:
        return unit(self.linear(plain_norm(x[:, 0], self.epsilon)))


class TextSegment(nn.Module):
    """The whole text encoder: x (N, T, W) embedded rows, mask (N, T) of 0 and 1 -> (N, W) the end token behind a norm.

    A token sees those before it alone, so what stands behind the end does not matter, and no mask is needed but to
    find the end: it is 1 there and 0 after.
    """

    def __init__(self, layers: Layers, epsilon: float) -> None:
        super().__init__()
        self.layers, self.epsilon = layers, epsilon

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        end = mask - nn.functional.pad(mask[:, 1:], (0, 1))
        rows = self.layers(x) * end.reshape(-1, self.layers.tokens, 1)
        return plain_norm(rows.sum(1), self.epsilon)


def item_tower(checkpoint: Checkpoint) -> PatchTower:
    """The vision half of a CLIPModel. Raises UsageError."""
    model = checkpoint.model(CLIPModel)
    vision, config = model.vision_model, model.config.vision_config
    embeddings = vision.embeddings
    stem = PatchStem(
        embeddings.patch_embedding,
        embeddings.position_embedding.weight.data,
        embeddings.class_embedding.data,
        norm=vision.pre_layrnorm,
    )

    def parts(layer: Any) -> Any:
        return layer_parts(layer.layer, config)

    return PatchTower(
        origin=checkpoint.origin(),
        preprocess=image_preprocess(checkpoint, CLIPImageProcessorPil, config.image_size),
        stem=stem,
        layers=[Unmasked(layer).eval() for layer in vision.encoder.layers],
        parts=parts,
        adapted=ADAPTED,
        published=ClassProjection(vision.post_layernorm, model.visual_projection).eval(),
    )


def query_tower(checkpoint: Checkpoint, tokens: int) -> WordTower:
    """The text half; tokens: of the longest sentence, 0 for the checkpoint's own 77. Raises UsageError."""
    model = checkpoint.model(CLIPModel)
    text, config = model.text_model, model.config.text_config
    length = sentence_length(tokens, config.max_position_embeddings, fixed=False, where=checkpoint.where)
    words = published_words(checkpoint, text.embeddings, length, _PAD)
    layers = Layers([layer_parts(layer, config) for layer in text.encoder.layers], length, causal=True)
    return WordTower(
        origin=checkpoint.origin(),
        segment=TextSegment(layers, text.final_layer_norm.eps).eval(),
        layers=config.num_hidden_layers,
        width=config.hidden_size,
        features=config.hidden_size,
        tokens=length,
        masked=True,
        table=words.table,
        positions=words.positions,
        tokenizer=words.tokenizer,
        published=Projection(text.final_layer_norm, model.text_projection).eval(),
    )
