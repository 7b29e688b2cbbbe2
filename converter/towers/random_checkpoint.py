"""Checkpoints in the published layout with random weights: to measure what an architecture costs, and for tests.

Its numbers mean nothing, but every file of a published folder is there, and the weights are of their true size. The
tokenizer alone is small: 2,000 tokens learnt from the packaged class texts, so that a bundle's token table is cut.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor, nn
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPTokenizer,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipImageProcessorPil,
    SiglipModel,
)

from converter.data.class_texts import load_class_texts
from converter.towers.checkpoint import quiet

_TOKENS = 2_000
_WORD_END = "</w>"
_CARD = "---\nlicense: cc0-1.0\n---\nRandom weights of the {name} architecture (seed {seed}): they know nothing.\n"


def _clip(patch: int) -> CLIPConfig:
    # 2 is what published configs say of the end token, and a sign to take the largest number in the sentence.
    return CLIPConfig(vision_config={"patch_size": patch}, text_config={"eos_token_id": 2})


def _clip_large() -> CLIPConfig:
    vision = {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "patch_size": 14,
        "projection_dim": 768,
    }
    text = {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_attention_heads": 12,
        "projection_dim": 768,
        "eos_token_id": 2,
    }
    return CLIPConfig(vision_config=vision, text_config=text, projection_dim=768)


def _siglip() -> SiglipConfig:
    with quiet():  # its own defaults name tokens that it does not have
        return SiglipConfig()


ARCHITECTURES: dict[str, Callable[[], Any]] = {
    "clip-vit-b32": lambda: _clip(32),
    "clip-vit-b16": lambda: _clip(16),
    "clip-vit-l14": _clip_large,
    "siglip-base-patch16-224": _siglip,
}


def write_random(folder: Path, name: str, *, layers: int | None = None, seed: int = 0) -> None:
    """Write a checkpoint of one of ARCHITECTURES to `folder`; layers: of both towers, None for the true number."""
    config = ARCHITECTURES[name]()
    if layers is not None:
        config.vision_config.num_hidden_layers = config.text_config.num_hidden_layers = layers
    family = _write_clip if isinstance(config, CLIPConfig) else _write_siglip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        family(folder, config)
    (folder / "README.md").write_text(_CARD.format(name=name, seed=seed), encoding="utf-8")


def _write_clip(folder: Path, config: Any) -> None:
    _save(CLIPModel(config), folder)
    CLIPImageProcessorPil().save_pretrained(folder)
    vocabulary, merges = _learnt(_WORD_END)
    tokenizer: Any = CLIPTokenizer  # its type of merges is not what it takes
    tokenizer(vocab=vocabulary, merges=merges, model_max_length=77).save_pretrained(folder)


def _write_siglip(folder: Path, config: Any) -> None:
    _save(SiglipModel(config), folder)
    SiglipImageProcessorPil().save_pretrained(folder)
    vocabulary, merges = _learnt("")
    special = {"</s>": len(vocabulary), "<unk>": len(vocabulary) + 1}
    tokenizer = Tokenizer(models.BPE({**vocabulary, **special}, merges, unk_token="<unk>"))  # noqa: S106 - a word
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.TemplateProcessing("$A </s>", special_tokens=[("</s>", special["</s>"])])
    PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        eos_token="</s>",  # noqa: S106 - words of the vocabulary
        pad_token="</s>",  # noqa: S106
        unk_token="<unk>",  # noqa: S106
        model_max_length=64,
    ).save_pretrained(folder)


def _save(model: Any, folder: Path) -> None:
    """Away from where training starts: there norms do nothing and attention is the mean, so a lost part is not seen."""
    for name, module in model.named_modules():
        if isinstance(module, nn.LayerNorm):
            module.weight.data += 0.2 * torch.randn_like(module.weight)
            module.bias.data += 0.1 * torch.randn_like(module.bias)
        elif isinstance(module, nn.Linear):
            module.weight.data *= 4 if name.endswith(("q_proj", "k_proj")) else 1
            if module.bias is not None:
                module.bias.data += 0.02 * torch.randn_like(module.bias)
        elif isinstance(module, nn.MultiheadAttention):
            _stir(module.in_proj_weight.data, module.in_proj_bias.data)
    with quiet():
        model.save_pretrained(folder)


def _stir(weight: Tensor, bias: Tensor) -> None:
    weight[: 2 * len(weight) // 3] *= 4
    bias += 0.1 * torch.randn_like(bias)


def _learnt(word_end: str) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merges of a byte-level BPE on the packaged class texts.

    In CLIP's order: bytes, bytes that end a word, merges, and its two special tokens, the end with the largest number.
    """
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix=word_end))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"), "removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    letters += [letter + word_end for letter in letters] if word_end else []
    # Named beforehand: the trainer would number those it meets in no fixed order, and break ties by number.
    trainer = trainers.BpeTrainer(
        vocab_size=_TOKENS, end_of_word_suffix=word_end, special_tokens=letters, show_progress=False
    )
    tokenizer.train_from_iterator((text for entry in load_class_texts() for text in entry.texts()), trainer)
    merges = [(one, other) for one, other in json.loads(tokenizer.to_str())["model"]["merges"]]
    special = ["<|startoftext|>", "<|endoftext|>"] if word_end else []
    tokens = dict.fromkeys((*letters, *(one + other for one, other in merges), *special))
    return {token: number for number, token in enumerate(tokens)}, merges
