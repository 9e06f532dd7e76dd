"""Writes the report page of a study."""

from os.path import relpath
from pathlib import Path

import pandas as pd

import graft
from graft.comparisons import read_comparison
from graft.files import read_csv, read_json, record_sums, verified, verified_all, write_text
from graft.jobs import job
from graft.published import read_published
from graft.report.page import (
    Comparisons,
    DataEntry,
    EnsembleEntry,
    FigureEntry,
    RuntimeEntry,
    TuningEntry,
    render_page,
)
from graft.spec import to_yaml

with job(snakemake) as say:
    tables = [read_csv(verified(path)) for path in snakemake.input.tables]
    pairs, ranks = verified_all(snakemake.input.comparisons)
    published = [read_published(path) for sums in snakemake.input.published for path in verified_all(sums)]
    page = Path(snakemake.output.page)
    figures = [
        FigureEntry(
            kind,
            dataset,
            "".join(name),
            verified(png).read_bytes(),
            Path(caption).read_text(encoding="utf-8").strip(),
            [
                relpath(Path(png).with_suffix(f".{ending}"), page.parent)
                for ending in (*snakemake.params.formats, "csv")
            ],
        )
        for (kind, dataset, *name), png, caption in zip(
            snakemake.params.figures, snakemake.input.figures, snakemake.input.captions, strict=True
        )
    ]
    diversity = {
        tuple(names): read_csv(verified(path))
        for names, path in zip(snakemake.params.grown, snakemake.input.diversity, strict=True)
    }
    ensembles = [
        EnsembleEntry(*names, read_json(verified(path)), diversity.get(tuple(names)))
        for names, path in zip(snakemake.params.ensembles, snakemake.input.ensembles, strict=True)
    ]
    comparisons = Comparisons(
        *(read_comparison(path) for path in (pairs, ranks)),
        *(relpath(path, page.parent) for path in (pairs, ranks)),
    )
    tuning = [
        TuningEntry(
            *names,
            *(read_json(verified(path)) for path in (best, search)),
            read_csv(verified(csv)),
            relpath(csv, page.parent),
        )
        for names, best, search, csv in zip(
            snakemake.params.tuned, *(snakemake.input[key] for key in ("best", "searches", "trials")), strict=True
        )
    ]
    runtimes = [
        RuntimeEntry("features", dataset, name, None, read_json(path))
        for (dataset, name), path in zip(snakemake.params.features, snakemake.input.features, strict=True)
    ]
    runtimes += [
        RuntimeEntry("tune", *names, read_json(path))
        for names, path in zip(snakemake.params.tuning, snakemake.input.tuning, strict=True)
    ]
    runtimes += [
        RuntimeEntry("train", *run, read_json(path))
        for run, path in zip(snakemake.params.runs, snakemake.input.training, strict=True)
    ]
    data = [
        DataEntry(
            name,
            *(pd.read_parquet(verified(path)) for path in (index, splits, near)),
            *(read_csv(verified(path)).fillna("") for path in (quarantine, leaks)),
            *(relpath(path, page.parent) for path in (card, leaks)),
        )
        for name, index, splits, near, quarantine, leaks, card in zip(
            snakemake.params.datasets,
            *(snakemake.input[key] for key in ("index", "splits", "near", "quarantine", "leaks", "cards")),
            strict=True,
        )
    ]
    study = {"title": None, "description": None, **snakemake.params.study}
    study["graft"] = graft.__version__
    study_text = to_yaml(snakemake.params.study)
    entries = data, figures, tuning, runtimes, study_text
    html = render_page(study, *tables, *entries, *published, combined=ensembles, comparisons=comparisons)
    write_text(page, html)
    record_sums(snakemake.output.sums, [page])
    say(f"{page}")
