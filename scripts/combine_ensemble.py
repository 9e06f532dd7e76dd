"""Combines the saved predictions of finished runs."""

from pathlib import Path

from graft.ensembles import combine
from graft.files import record_sums, replacing, verified, write_csv, write_json
from graft.jobs import job
from graft.predictions import load_predictions, save_predictions

with job(snakemake) as say:
    paths = dict(zip(map(tuple, snakemake.params.members), snakemake.input.predictions, strict=True))
    members = {f"{model} seed {seed}": load_predictions(verified(path)) for (_, model, seed), path in paths.items()}
    combined = combine(members, snakemake.params.method, snakemake.params.temperature)
    rows = [
        {"dataset": dataset, "model": model, "seed": seed, "weight": weight}
        for (dataset, model, seed), weight in zip(paths, combined.weights, strict=True)
    ]
    described = {"method": snakemake.params.method}
    if combined.temperature is not None:
        described["temperature"] = combined.temperature
    if combined.facts:
        described["fitted"] = combined.facts
    described["members"] = rows

    output = {name: Path(path) for name, path in snakemake.output.items() if name != "sums"}
    with replacing(output["predictions"]) as beside:
        save_predictions(beside, combined.predictions)
    write_json(output["ensemble"], described)
    write_csv(output["members"], rows)
    record_sums(snakemake.output.sums, output.values())
    say(f"{len(rows)} members combined")
