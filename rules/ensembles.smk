"""Finished runs are combined from their saved predictions; no network framework is needed."""


rule combine_ensemble:
    input:
        predictions=member_predictions,
    output:
        predictions=ensure(ENSEMBLE / "predictions.npz", non_empty=True),
        ensemble=ENSEMBLE / "ensemble.json",
        members=ENSEMBLE / "members.csv",
        sums=ENSEMBLE / "SHA256SUMS",
    params:
        method=lambda wildcards: study.ensembles[wildcards.ensemble].method.dump(),
        temperature=lambda wildcards: bool(study.ensembles[wildcards.ensemble].temperature),
        members=lambda wildcards: [list(run) for run in study.members(wildcards.ensemble, wildcards.dataset)],
        code=lambda wildcards: fingerprint("combine_ensemble", *study.ensembles[wildcards.ensemble].code_modules),
    log:
        LOGS / "combine_ensemble/{dataset}/{ensemble}.log",
    benchmark:
        BENCHMARKS / "combine_ensemble/{dataset}/{ensemble}.tsv"
    threads: 1
    resources:
        mem_mb=4000,
        runtime="1h",
    conda:
        "../envs/analysis.yaml"
    script:
        "../scripts/combine_ensemble.py"
