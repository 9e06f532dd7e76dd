"""Sets the figures that a report published beside those of the study."""

from graft.files import read_csv, record_sums, verified, write_csv
from graft.jobs import job
from graft.published import published_table

with job(snakemake) as say:
    runs, ensembles = (read_csv(verified(path)) for path in (snakemake.input.runs, snakemake.input.ensembles))
    histories = {}
    for (dataset, model, _), path in zip(snakemake.params.runs, snakemake.input.histories, strict=True):
        histories.setdefault((dataset, model), []).append(read_csv(verified(path)))
    table = published_table(snakemake.params.figures, runs, ensembles, histories)
    write_csv(snakemake.output.table, table)
    record_sums(snakemake.output.sums, [snakemake.output.table])
    say(f"{len(table)} published numbers compared")
