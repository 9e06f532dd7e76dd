"""Draws a few training images of every class."""

from pathlib import Path

import pandas as pd

from graft.arrays import gather, open_arrays
from graft.figures.sample_grid import pick, sample_grid
from graft.figures.style import Style, label, look, save_figure
from graft.files import record_sums, verified
from graft.jobs import job

PER_CLASS = 8

with job(snakemake), look(Style(**snakemake.params.look)):
    index, splits = (pd.read_parquet(verified(path)) for path in (snakemake.input.index, snakemake.input.splits))
    data = gather(index, splits, open_arrays(snakemake.input.images))
    train = data.rows["train"]
    rows = train[pick(data.label[train], PER_CLASS, seed=0)]
    names = [data.classes[label] for label in data.label[rows]]
    figure, table = sample_grid(data.inputs[0][rows], names, label("{dataset}: training images", **snakemake.wildcards))
    record_sums(snakemake.output.sums, save_figure(figure, table, Path(snakemake.output.sums.removesuffix(".sha256"))))
