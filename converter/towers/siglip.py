"""SigLIP (X. Zhai et al., 2023) as two towers. Its tokenizer is the one file that the user's folder must bring."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import SiglipImageProcessorPil, SiglipModel

from converter.heads.forms import unit
from converter.towers.checkpoint import Checkpoint
from converter.towers.encoder import ADAPTED, Projection, Unmasked, activation, layer_parts
from converter.towers.patches import PatchTower
from converter.towers.pixels import image_preprocess
from converter.towers.transformer import Layers, PatchStem, copied, folded, plain_norm, rewritten
from converter.towers.words import WordTower, published_words, sentence_length

FAMILY = "siglip"
_PAD = "</s>"


class AttentionPool(nn.Module):
    """The published last part: norm, attention of one learnt probe, MLP: (N, T, W) -> (N, W), rows of unit L2 norm.

    Two exact rewrites. The probe never changes, so its product with the key map is a linear map from a token to one
    score a head. And tokens are averaged before the value map, not after it: T times less work, small beside a layer.
    """

    def __init__(self, norm: nn.LayerNorm, head: Any, heads: int, name: str) -> None:
        """head: a SiglipMultiheadAttentionPoolingHead; name: `hidden_act` of its MLP."""
        super().__init__()
        self.epsilons = (norm.eps, head.layernorm.eps)
        width = head.probe.shape[-1]
        query, key, value = head.attention.in_proj_weight.data.split(width)
        query_bias, _, value_bias = head.attention.in_proj_bias.data.split(width)
        probe = (query @ head.probe.data.reshape(width) + query_bias).reshape(heads, 1, -1)
        scores = torch.bmm(probe, key.reshape(heads, -1, width)).reshape(heads, width) * probe.shape[-1] ** -0.5
        self.scores = folded(norm, _linear(scores, torch.zeros(heads)))  # a key's bias moves all tokens alike
        maps = zip(value.reshape(heads, -1, width), value_bias.reshape(heads, -1), strict=True)
        self.values = nn.ModuleList(folded(norm, _linear(*one)) for one in maps)
        self.out = copied(head.attention.out_proj)
        self.wide, self.narrow = folded(head.layernorm, head.mlp.fc1), copied(head.mlp.fc2)
        self.activation = rewritten(activation(name))

    def forward(self, x: Tensor) -> Tensor:
        tokens, width = int(x.shape[1]), int(x.shape[2])
        rows = plain_norm(x, self.epsilons[0])
        scores = self.scores(rows.reshape(-1, width)).reshape(-1, tokens, len(self.values))
        mixed = torch.softmax(scores.permute(0, 2, 1), -1) @ rows
        y = self.out(torch.cat([value(mixed[:, number]) for number, value in enumerate(self.values)], 1))
        return unit(y + self.narrow(self.activation(self.wide(plain_norm(y, self.epsilons[1])))))


class TextSegment(nn.Module):
    """The whole text encoder: x (N, T, W) embedded rows -> (N, W) the last token behind a norm, padding or not."""

    def __init__(self, layers: Layers, epsilon: float) -> None:
        super().__init__()
        self.layers, self.epsilon = layers, epsilon

    def forward(self, x: Tensor) -> Tensor:
        return plain_norm(self.layers(x)[:, -1], self.epsilon)


def item_tower(checkpoint: Checkpoint) -> PatchTower:
    """The vision half of a SiglipModel. Raises UsageError."""
    model = checkpoint.model(SiglipModel)
    vision, config = model.vision_model, model.config.vision_config
    embeddings = vision.embeddings
    pool = (
        AttentionPool(vision.post_layernorm, vision.head, config.num_attention_heads, config.hidden_act).eval()
        if config.vision_use_head
        else None
    )

    def parts(layer: Any) -> Any:
        return layer_parts(layer.layer, config)

    return PatchTower(
        origin=checkpoint.origin(),
        preprocess=image_preprocess(checkpoint, SiglipImageProcessorPil, config.image_size),
        stem=PatchStem(embeddings.patch_embedding, embeddings.position_embedding.weight.data, None),
        layers=[Unmasked(layer).eval() for layer in vision.encoder.layers],
        parts=parts,
        adapted=ADAPTED,
        published=pool,
    )


def query_tower(checkpoint: Checkpoint, tokens: int) -> WordTower:
    """The text half; tokens must be 0 or the checkpoint's own 64: it reads padding like words. Raises UsageError."""
    model = checkpoint.model(SiglipModel)
    text, config = model.text_model, model.config.text_config
    length = sentence_length(tokens, config.max_position_embeddings, fixed=True, where=checkpoint.where)
    words = published_words(checkpoint, text.embeddings, length, _PAD)
    layers = Layers([layer_parts(layer, config) for layer in text.encoder.layers], length)
    return WordTower(
        origin=checkpoint.origin(),
        segment=TextSegment(layers, text.final_layer_norm.eps).eval(),
        layers=config.num_hidden_layers,
        width=config.hidden_size,
        features=config.hidden_size,
        tokens=length,
        masked=False,
        table=words.table,
        positions=words.positions,
        tokenizer=words.tokenizer,
        published=Projection(text.final_layer_norm, text.head).eval(),
    )


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0])
    linear.weight.data, linear.bias.data = weight, bias
    return linear
