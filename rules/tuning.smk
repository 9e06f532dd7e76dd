"""Optuna searches the fields that a model leaves open, on the validation split."""

TUNING = RESULTS / "tuning/{dataset}/{model}"


rule tune_model:
    input:
        arrays=training_arrays,
        index=lambda wildcards: STORES[wildcards.dataset] / "index.parquet",
        splits=RESULTS / "splits/{dataset}.parquet",
    output:
        best=TUNING / "best.json",
        trials=TUNING / "trials.csv",
        runtime=TUNING / "runtime.json",
        sums=TUNING / "SHA256SUMS",
    params:
        model=lambda wildcards: study.models[wildcards.model].trained,
        tune=lambda wildcards: study.models[wildcards.model].tune.dump(),
        compute=study.compute,
        code=lambda wildcards: fingerprint("tune_model", *study.models[wildcards.model].code_modules),
    log:
        LOGS / "tune_model/{dataset}/{model}.log",
    benchmark:
        BENCHMARKS / "tune_model/{dataset}/{model}.tsv"
    threads: study.threads
    resources:
        gpu=1,
        mem_mb=4000,
        runtime="24h",
    conda:
        "../envs/keras.yaml"
    script:
        "../scripts/tune_model.py"
