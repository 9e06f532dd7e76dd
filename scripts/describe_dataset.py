"""Writes the data card of a data set."""

import numpy as np
import pandas as pd

from graft.files import read_csv, record_sums, verified, write_text
from graft.jobs import job
from graft.report.card import Examples, Origin, render_card

with job(snakemake) as say:
    index, near = (pd.read_parquet(verified(path)) for path in (snakemake.input.index, snakemake.input.near))
    quarantine = read_csv(verified(snakemake.input.quarantine)).fillna("")
    with np.load(verified(snakemake.input.examples)) as file:
        examples = Examples(file["rows"], file["thumbnails"], file["mean"])
    params = snakemake.params
    origin = Origin(
        params.source, **params.preparation, licence=params.facts.get("licence"), page=params.facts.get("page")
    )
    write_text(snakemake.output.card, render_card(params.dataset, origin, index, near, quarantine, examples))
    record_sums(snakemake.output.sums, [snakemake.output.card])
    say(snakemake.output.card)
