"""What the daemon says of itself: the payloads of `info` and `state`. See edge/mqtt/PROTOCOL.md."""

from __future__ import annotations

import dataclasses
import time

from edge import __version__
from edge.config import MAX_LIMIT, PAYLOAD_BYTES, Config
from edge.engine import Engine
from edge.memory import database_bytes
from edge.mqtt import OPS, encode
from edge.power import Energy
from edge.service import Sample


def device_info(config: Config, engine: Engine) -> bytes:
    """What does not change while it runs."""
    manifest = engine.bundle.manifest
    return encode(
        {
            "software": __version__,
            "device": config.device,
            "protocol": str(config.mqtt.protocol),
            "model": {
                "id": manifest.model,
                "sha256": engine.bundle.fingerprint,
                "purpose": manifest.purpose,
                "dimension": manifest.dimension,
                "exit_depths": {tower.modality: [place.depth for place in tower.exits] for tower in manifest.towers},
            },
            "runtime": engine.runtime,
            "modalities": list(engine.modalities),
            "ops": list(OPS),
            "limits": {"payload_bytes": PAYLOAD_BYTES, "limit": MAX_LIMIT, "waiting": config.recall.waiting},
        }
    )


def device_state(engine: Engine, sample: Sample, energy: Energy) -> bytes:
    """What changes, at this moment."""
    tally, cache = engine.memory.tally, engine.activations
    last = engine.bundle.manifest.tower("image").exits[-1].depth
    return encode(
        {
            "ts": round(time.time(), 3),
            "items": tally.items,
            "backlog": tally.waiting,
            "rejected": tally.rejected,
            "earlier": tally.earlier or None,
            "migrating": tally.migrating if tally.earlier else None,
            "out_of_reach": (engine.out_of_reach if tally.earlier else 0) or None,
            "items_per_s": round(engine.intake.items_per_s(), 2),
            "exits": {str(depth): count for depth, count in tally.exits.items()},
            "notes": tally.notes,
            "refined": tally.exits.get(last, 0),
            "refined_ahead": engine.ahead.count if engine.ahead else 0,
            "busy": None if engine.inbox.gate == "open" else engine.inbox.gate,
            "paused": engine.intake.paused,
            "answered": engine.questions.answered,
            **dataclasses.asdict(sample),
            "damaged_files": engine.damaged,
            "content_mb": round(tally.content_bytes / 1e6, 1),
            "cache_mb": round(cache.size_bytes / 1e6, 1) if cache else 0.0,
            "cached": cache.count if cache else 0,
            "database_mb": round(database_bytes(engine.memory.folder) / 1e6, 1),
            **dataclasses.asdict(energy),
        }
    )
