"""A small bundle: true sizes and checksums over files that no runtime could run. The reader does not run them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from edge.bundle import MANIFEST, RUNTIMES, SCHEMA

CONTENTS = {
    "image/seg-00.tflite": b"the first layers of the image tower",
    "image/seg-01.tflite": b"its last layers",
    "image/head-00.tflite": b"the early head",
    "image/head-01.tflite": b"the late head",
    "image/query-00.tflite": b"the early granularity head",
    "image/query-01.tflite": b"the late granularity head",
    "image/gate-00.tflite": b"the early gate",
    "image/predictor.tflite": b"the predictor",
    "image/predictor.f32": bytes(8),
    "text/seg-00.fast.tflite": b"the text tower, fast",
    "text/seg-00.safe.tflite": b"the text tower, safe",
    "text/head-00.tflite": b"the text head",
    "text/tokenizer.json": b"{}",
    "text/tokens.int4": bytes(range(256)),
    "text/positions.f32": bytes(64),
    "bank.int8": bytes(20 * (2 + 16)),
}


CALIBRATION = {"cosine": 9.0, "mean": -3.0, "spread": 1.5, "top": -2.0, "bias": -4.5}


def model(*names: str) -> dict[str, Any]:
    return {"variants": [{"path": name, "format": "float32", "runtimes": list(RUNTIMES)} for name in names]}


def setting(policy: str, *, centre: float, cost: float, exits: list[float]) -> dict[str, Any]:
    measured = {"cost": cost, "recall_at_1": 0.2, "recall_at_10": 0.6, "kept_at_10": 0.9, "exits": exits}
    return {"policy": policy, "centre": centre, **measured}


@pytest.fixture
def image_tower() -> dict[str, Any]:
    return {
        "modality": "image",
        "layers": 4,
        "preprocess": {
            "kind": "image",
            "size": 8,
            "fit": "squash",
            "filter": "bicubic",
            "mean": 127.0,
            "scale": 128.0,
        },
        "segments": [
            {"depth": 2, "input": [8, 8, 3], "output": [4, 4, 6], "model": model("image/seg-00.tflite")},
            {"depth": 4, "input": [4, 4, 6], "output": [2, 2, 9], "model": model("image/seg-01.tflite")},
        ],
        "exits": [
            {
                "depth": 2,
                "segment": 0,
                "head": model("image/head-00.tflite"),
                "query": model("image/query-00.tflite"),
                "calibration": dict(CALIBRATION),
                "gate": model("image/gate-00.tflite"),
                "cost": 0.5,
            },
            {
                "depth": 4,
                "segment": 1,
                "head": model("image/head-01.tflite"),
                "query": model("image/query-01.tflite"),
                "calibration": {**CALIBRATION, "scale": 30.0},
                "cost": 1.0,
            },
        ],
        "predictor": {"model": model("image/predictor.tflite"), "norm": "image/predictor.f32"},
        "policies": {
            "default": "gate",
            "stray": 60.0,
            "survival": [0.5, 0.8],
            "settings": [
                setting("fixed", centre=2.0, cost=0.5, exits=[1.0, 0.0]),
                setting("fixed", centre=4.0, cost=1.0, exits=[0.0, 1.0]),
                setting("predict", centre=3.0, cost=0.75, exits=[0.5, 0.5]),
                setting("gate", centre=2.5, cost=0.6, exits=[0.8, 0.2]),
                setting("gate", centre=3.5, cost=0.8, exits=[0.4, 0.6]),
            ],
        },
    }


@pytest.fixture
def text_tower() -> dict[str, Any]:
    segment = model("text/seg-00.fast.tflite", "text/seg-00.safe.tflite")
    return {
        "modality": "text",
        "layers": 3,
        "preprocess": {
            "kind": "text",
            "tokenizer": "text/tokenizer.json",
            "tokens": 4,
            "width": 16,
            "table": "text/tokens.int4",
            "group": 8,
            "positions": "text/positions.f32",
        },
        "segments": [{"depth": 3, "input": [4, 16], "output": [16], "model": segment, "extra": ["mask"]}],
        "exits": [{"depth": 3, "segment": 0, "head": model("text/head-00.tflite")}],
    }


@pytest.fixture
def manifest(image_tower: dict[str, Any], text_tower: dict[str, Any]) -> dict[str, Any]:
    """What the small bundle's manifest says: plain data, free to be spoilt."""
    return {
        "schema": SCHEMA,
        "model": "small",
        "purpose": "for tests",
        "licence": "Apache-2.0",
        "attribution": ["made here"],
        "dimension": 16,
        "towers": [image_tower, text_tower],
        "files": {
            name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in CONTENTS.items()
        },
        "bank": {"path": "bank.int8", "rows": 20, "width": 16},
        "calibrated": True,
        "build": {"seconds": 0.5},
    }


@pytest.fixture
def folder(tmp_path: Path, manifest: dict[str, Any]) -> Path:
    """The small bundle on disk."""
    folder = tmp_path / "small"
    for name, content in CONTENTS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    return folder
