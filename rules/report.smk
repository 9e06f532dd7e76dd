"""The page that people look at, from tables, figures and records alone."""


rule report:
    input:
        PAGE,


rule write_report:
    input:
        tables=[TABLES / f"{name}.csv" for name in ("runs", "models", "ensembles")],
        comparisons=TABLES / "comparisons.sha256",
        ensembles=[folder / "ensemble.json" for folder in ENSEMBLE_FOLDERS],
        diversity=[RESULTS / f"ensembles/{dataset}/{name}/diversity.csv" for dataset, name in GROWN],
        published=PUBLISHED,
        figures=[FIGURES / f"{stem}.png" for stem in STEMS],
        captions=[PROJECT / f"rules/captions/{stem.partition('.')[0]}.rst" for stem in STEMS],
        index=store_files("index.parquet"),
        near=store_files("near.parquet"),
        quarantine=store_files("quarantine.csv"),
        cards=CARDS,
        splits=[RESULTS / f"splits/{dataset}.parquet" for dataset in COMPARED],
        leaks=[RESULTS / f"splits/{dataset}.leaks.csv" for dataset in COMPARED],
        best=tuning_files("best.json"),
        searches=tuning_files("search/search.json"),
        trials=tuning_files("search/trials.csv"),
        templates=templates("page.html", "shared.html"),
        # Times differ from machine to machine; they are shown, and make nothing stale.
        training=ancient(run_files(study.runs, "runtime.json")),
        features=ancient([folder / "runtime.json" for _, folder in COMPUTED]),
        tuning=ancient([folder / "runtime.json" for *_, folder in TUNING_JOBS]),
    output:
        page=report(
            PAGE,
            category="Report",
            labels={"page": "the whole study"},
            caption="captions/report.rst",
        ),
        sums=RESULTS / "report.sha256",
    params:
        study=study.dump(),
        figures=[stem.split(".") for stem in STEMS],
        formats=study.look["formats"],
        datasets=COMPARED,
        ensembles=[list(names) for names in COMBINED],
        grown=[list(names) for names in GROWN],
        tuned=[list(names) for names in TUNED],
        tuning=[[dataset, model, seed] for dataset, model, seed, _ in TUNING_JOBS],
        features=[[dataset, folder.name] for dataset, folder in COMPUTED],
        runs=[list(run) for run in study.runs],
        code=fingerprint("write_report"),
    log:
        LOGS / "write_report.log",
    benchmark:
        BENCHMARKS / "write_report.tsv"
    threads: 1
    resources:
        mem_mb=2000,
        runtime="1h",
    conda:
        "../envs/analysis.yaml"
    script:
        "../scripts/write_report.py"
