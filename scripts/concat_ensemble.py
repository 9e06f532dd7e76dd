"""Trains a new head on the embeddings of finished runs, side by side."""

from pathlib import Path

import pandas as pd

from graft.arrays import gather
from graft.embeddings import load_embeddings
from graft.ensembles.concat import concatenate, save_head
from graft.files import record_sums, replacing, verified, write_csv, write_json
from graft.jobs import job
from graft.members import describe_ensemble, member_table
from graft.predictions import load_predictions, save_predictions

with job(snakemake) as say:
    params, output = snakemake.params, {name: Path(path) for name, path in snakemake.output.items() if name != "sums"}
    index, splits = (pd.read_parquet(verified(path)) for path in (snakemake.input.index, snakemake.input.splits))
    names = [member["member"] for member in params.members]
    members = {
        name: load_embeddings(verified(path)) for name, path in zip(names, snakemake.input.embeddings, strict=True)
    }
    combined, head = concatenate(members, gather(index, splits, []), params.method, params.temperature)
    known = [member["member"] for member in params.members if member["predictions"]]
    predictions = {
        name: load_predictions(verified(path)) for name, path in zip(known, snakemake.input.predictions, strict=True)
    }
    facts = describe_ensemble(
        params.members,
        combined,
        predictions,
        method=params.method,
        preparation=params.preparation,
    )

    with replacing(output["predictions"]) as beside:
        save_predictions(beside, combined.predictions)
    with replacing(output["head"]) as beside:
        save_head(beside, head)
    write_json(output["ensemble"], facts)
    write_csv(output["members"], member_table(facts))
    record_sums(snakemake.output.sums, output.values())
    say(f"{len(names)} members, {len(head.mean)} activations, C {combined.facts['C']:g}")
