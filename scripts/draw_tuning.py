"""Draws a figure of a search, as its kind says."""

from pathlib import Path

import pandas as pd

from graft.figures.style import Style, label, look, save_figure
from graft.figures.tuning import FIGURES, TITLES, rebuilt
from graft.files import read_csv, read_json, record_sums, verified
from graft.jobs import job

with job(snakemake), look(Style(**snakemake.params.look)):
    paths = {name: verified(path) for name, path in snakemake.input.items()}
    trials = pd.read_csv(paths["trials"], dtype=str, keep_default_na=False)
    search = rebuilt(trials, read_csv(paths["values"]), read_json(paths["search"]))
    kind = snakemake.wildcards.kind
    title = label(TITLES[f"tuning_{kind}"], **snakemake.wildcards)
    stem = Path(snakemake.output.sums.removesuffix(".sha256"))
    record_sums(snakemake.output.sums, save_figure(*FIGURES[f"tuning_{kind}"](search, title), stem))
