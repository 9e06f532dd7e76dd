"""Ours beside the figures that a report published, where a study names them."""

PUBLISHED_FIGURES = study.reference.figures if study.reference else []
PUBLISHED = [TABLES / "published.sha256"] if study.reference else []
# The runs whose histories are asked: of models, of which the report says how they did on the training split.
PUBLISHED_RUNS = list(
    dict.fromkeys(
        Run(figure.dataset, figure.of, seed)
        for figure in PUBLISHED_FIGURES
        if figure.train and figure.of in study.models
        for seed in study.seeds_of(figure.of)
    )
)


rule compare_published:
    input:
        runs=TABLES / "runs.csv",
        ensembles=TABLES / "ensembles.csv",
        histories=run_files(PUBLISHED_RUNS, "history.csv"),
    output:
        table=report(
            TABLES / "published.csv",
            category="Tables",
            labels={"table": "published"},
            caption="captions/published.rst",
        ),
        sums=TABLES / "published.sha256",
    params:
        figures=[figure.dump() for figure in PUBLISHED_FIGURES],
        runs=[list(run) for run in PUBLISHED_RUNS],
        code=fingerprint("compare_published"),
    log:
        LOGS / "compare_published.log",
    benchmark:
        BENCHMARKS / "compare_published.tsv"
    threads: 1
    resources:
        mem_mb=2000,
        runtime="1h",
    conda:
        "../envs/analysis.yaml"
    script:
        "../scripts/compare_published.py"
