"""Assigns the images of a data set that the study uses to train, validation or test."""

import pandas as pd

from graft.errors import UserError
from graft.files import read_csv, record_sums, replacing, verified, write_csv
from graft.jobs import job
from graft.splits import SPLITS, split_index, split_warnings

with job(snakemake) as say:
    index, near = (pd.read_parquet(verified(path)) for path in (snakemake.input.index, snakemake.input.near))
    bad = len(read_csv(verified(snakemake.input.quarantine)))
    division = dict(snakemake.params.division)
    most = division.pop("max_bad")
    if bad > most * (bad + len(index)):
        raise UserError(
            f"{bad} of {bad + len(index)} images cannot be used, more than max_bad: {most:g} allows; "
            f"{snakemake.input.quarantine} says which and why: mend them, or raise max_bad of the data set"
        )
    splits, leaks = split_index(index, near, shares=division.pop("split"), **division)
    counted = splits["split"].value_counts()
    for name in SPLITS:
        if name not in counted:
            raise UserError(
                f"the {name} split holds none of the {len(index)} images; raise its share, or mend the subset"
            )
    names = index.set_index("sample_id")["source"]
    leaks = leaks.assign(source=leaks["sample_id"].map(names), copy_source=leaks["copy"].map(names))
    with replacing(snakemake.output.splits) as beside:
        splits.to_parquet(beside, index=False)
    write_csv(snakemake.output.leaks, leaks)
    record_sums(snakemake.output.sums, [snakemake.output.splits])
    record_sums(snakemake.output.leaks_sums, [snakemake.output.leaks])
    for warning in split_warnings(index, splits):
        say(warning)
    said = [f"{count:,} {name}" for name, count in counted.items()]
    copies = leaks.groupby(["kind", "action"]).size()
    said += [f"{kind} copies across splits, {action}: {count:,}" for (kind, action), count in copies.items()]
    say(", ".join(said))
