"""Combines the saved predictions of finished networks, and says how diverse they are."""

from pathlib import Path

from graft.ensembles import combine
from graft.files import record_sums, replacing, write_csv, write_json
from graft.jobs import job
from graft.members import describe_ensemble, diversity_tables, member_table, read_members
from graft.predictions import save_predictions

with job(snakemake) as say:
    params, output = snakemake.params, {name: Path(path) for name, path in snakemake.output.items() if name != "sums"}
    members = read_members(params.members, snakemake.input.predictions, params.best, output["ensemble"].parent)
    predictions = {name: member.predictions for name, member in members.items()}
    combined = combine(predictions, params.method, params.temperature)
    facts = describe_ensemble(
        [member.facts for member in members.values()],
        combined,
        predictions,
        method=params.method,
        preparation=params.preparation,
    )
    diversity, growth = diversity_tables(predictions)

    with replacing(output["predictions"]) as beside:
        save_predictions(beside, combined.predictions)
    write_json(output["ensemble"], facts)
    for name, table in {"members": member_table(facts), "diversity": diversity, "growth": growth}.items():
        write_csv(output[name], table)
    record_sums(snakemake.output.sums, output.values())
    say(f"{len(members)} members combined")
