"""Chooses the trial whose parameters a model is trained with."""

from graft.files import read_json, record_sums, verified, write_json
from graft.jobs import job
from graft.tuning.outcome import best_of

with job(snakemake) as say:
    search = read_json(verified(snakemake.input.best))
    reruns = [read_json(verified(path)) for path in snakemake.input.reruns]
    best = best_of(search, filter(None, reruns), snakemake.params.tune)
    write_json(snakemake.output.best, best)
    record_sums(snakemake.output.sums, [snakemake.output.best])
    say(f"trial {best['trial']}" + (", by its re-runs" if "reruns" in best else ""))
