"""Every metric of every run and ensemble, and what tells them apart, from predictions alone."""

ENSEMBLE_FOLDERS = [RESULTS / f"ensembles/{dataset}/{name}" for dataset, name in COMBINED]


rule evaluate_runs:
    input:
        runs=run_files(study.runs, "predictions.npz"),
        ensembles=[folder / "predictions.npz" for folder in ENSEMBLE_FOLDERS],
        ensemble_facts=[folder / "ensemble.json" for folder in ENSEMBLE_FOLDERS],
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
        ensembles=[[dataset, name, study.ensembles[name].method.name] for dataset, name in COMBINED],
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


rule compare_models:
    input:
        runs=run_files(study.runs, "predictions.npz"),
        ensembles=[folder / "predictions.npz" for folder in ENSEMBLE_FOLDERS],
    output:
        pairs=report(
            TABLES / "pairs.csv",
            category="Tables",
            labels={"table": "pairs"},
            caption="captions/pairs.rst",
        ),
        ranks=report(
            TABLES / "ranks.csv",
            category="Tables",
            labels={"table": "ranks"},
            caption="captions/ranks.rst",
        ),
        sums=TABLES / "comparisons.sha256",
    params:
        names=[[run.dataset, run.model] for run in study.runs] + [list(names) for names in COMBINED],
        code=fingerprint("compare_models"),
    log:
        LOGS / "compare_models.log",
    benchmark:
        BENCHMARKS / "compare_models.tsv"
    threads: 1
    resources:
        mem_mb=2000,
        runtime="1h",
    conda:
        "../envs/analysis.yaml"
    script:
        "../scripts/compare_models.py"
