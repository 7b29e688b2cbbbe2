"""Stage `pack`: the manifest, and the bundle in its place."""

from __future__ import annotations

import shutil
from pathlib import Path

from converter import layout
from converter.credits import attribution, licence
from converter.pack import pack as write_bundle
from converter.pack import records, staged
from converter.stages import Context, load_record
from converter.steps.catalogue import load_captions, load_catalogue
from converter.steps.export import learnt_of, load_spec
from converter.steps.study import taught_rows
from converter.steps.trunk import healed_tower
from converter.steps.verify import Verified
from converter.towers.opening import open_query_tower
from edge.bundle import SCHEMA, Manifest


def pack(context: Context, folder: Path) -> None:
    """OUT/bundle, in place of an earlier one."""
    recipe, out = context.recipe, context.out / "bundle"
    tower = healed_tower(context)
    query = open_query_tower(recipe.query, context.order.query_checkpoint)
    learnt = learnt_of(context, tower)
    verified = load_record(Verified, context.artefacts["verify"] / "verified.json")
    origins, spec = (tower.origin, query.origin), load_spec(context.artefacts["export"])
    catalogue, captions = load_catalogue(context.artefacts["towers"]), load_captions(context.artefacts["towers"])
    worst: dict[str, float] = {}
    for one in verified.parities:  # a head behind two variants of its segment was checked twice: the worse counts
        name = f"{one.path} on {one.runtime} at batch {one.batch}: cosine"
        worst[name] = min(round(one.cosine, 5), worst.get(name, 1.0))
    with staged(out, replacing=True) as staging:
        shutil.copytree(context.artefacts["export"] / "files", staging, dirs_exist_ok=True)
        manifest = Manifest(
            schema=SCHEMA,
            model=recipe.model,
            purpose=recipe.data.purpose,
            licence=licence(origins),
            attribution=attribution(recipe, origins, len(taught_rows(catalogue, captions))),
            dimension=learnt.dimension,
            towers=(spec, layout.query_spec(recipe, query, spec.exits[-1].query, learnt.notes)),
            bank=layout.bank_entry(learnt),
            files=records(staging),
            build=worst,
            calibrated=bool(learnt.calibrations),
        )
        write_bundle(staging, manifest)
    (folder / "packed.json").write_text(f'{{"model": "{recipe.model}"}}\n', encoding="utf-8")
