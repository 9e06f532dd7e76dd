"""Every metric of every run and ensemble, from predictions alone."""


rule evaluate_runs:
    input:
        runs=run_files(study.runs, "predictions.npz"),
        ensembles=[RESULTS / f"ensembles/{dataset}/{name}/predictions.npz" for dataset, name in COMBINED],
    output:
        runs=report(
            TABLES / "runs.csv",
            category="Tables",
            labels={"table": "runs"},
            caption="captions/runs.rst",
        ),
        models=report(
            TABLES / "models.csv",
            category="Tables",
            labels={"table": "models"},
            caption="captions/models.rst",
        ),
        ensembles=report(
            TABLES / "ensembles.csv",
            category="Tables",
            labels={"table": "ensembles"},
            caption="captions/ensembles.rst",
        ),
        sums=TABLES / "SHA256SUMS",
    params:
        runs=[list(run) for run in study.runs],
        ensembles=[
            [
                dataset,
                name,
                study.ensembles[name].method.name,
                len(study.members(name, dataset)),
            ]
            for dataset, name in COMBINED
        ],
        code=fingerprint("evaluate_runs"),
    log:
        LOGS / "evaluate_runs.log",
    benchmark:
        BENCHMARKS / "evaluate_runs.tsv"
    threads: 1
    resources:
        mem_mb=2000,
        runtime="1h",
    conda:
        "../envs/analysis.yaml"
    script:
        "../scripts/evaluate_runs.py"
