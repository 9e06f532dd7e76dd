"""Optuna searches the fields that a model leaves open, on the validation split."""


rule tune_model:
    input:
        **weights_input(tuning_run),
        **arrays_input(tuning_run),
        index=index_of,
        splits=SPLITS,
    output:
        best=TUNING / "best.json",
        trials=TUNING / "trials.csv",
        runtime=TUNING / "runtime.json",
        sums=TUNING / "SHA256SUMS",
    params:
        model=model_params,
        tune=lambda wildcards: study.models[wildcards.model].tune.dump(),
        compute=study.compute,
        code=model_code("tune_model"),
    log:
        LOGS / "tune_model/{dataset}/{model}.log",
    benchmark:
        BENCHMARKS / "tune_model/{dataset}/{model}.tsv"
    threads: study.threads
    resources:
        gpu=gpus_of,
        mem_mb=4000,
        runtime="24h",
    conda:
        "../envs/keras.yaml"
    # Other jobs wait for this one.
    priority: 1
    script:
        "../scripts/tune_model.py"
