"""Optuna searches the fields that a model leaves open, on the validation split: several workers share a search."""


rule tune_model:
    input:
        **weights_input(tuning_run),
        **soft_labels_input(),
        **arrays_input(tuning_run),
        index=index_of,
        splits=SPLITS,
    output:
        search=TUNING / "workers/{worker}/search.json",
        runtime=TUNING / "workers/{worker}/runtime.json",
        sums=TUNING / "workers/{worker}/SHA256SUMS",
    params:
        model=model_params,
        tune=tune_params("top_k", "reruns", "refit"),
        keep=kept_checkpoints,
        compute=study.compute,
        code=model_code("tune_model"),
    log:
        LOGS / "tune_model/{dataset}/{model}/worker{worker}.log",
    benchmark:
        BENCHMARKS / "tune_model/{dataset}/{model}/worker{worker}.tsv"
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


rule collect_trials:
    input:
        workers=search_files,
    output:
        search=TUNING / "search/search.json",
        best=TUNING / "search/best.json",
        trials=TUNING / "search/trials.csv",
        values=TUNING / "search/intermediate_values.csv",
        sums=TUNING / "search/SHA256SUMS",
        predictions=TUNING / "trials/SHA256SUMS",
    params:
        tune=tune_params("reruns", "refit"),
        code=fingerprint("collect_trials"),
    log:
        LOGS / "collect_trials/{dataset}/{model}.log",
    benchmark:
        BENCHMARKS / "collect_trials/{dataset}/{model}.tsv"
    threads: 1
    resources:
        mem_mb=2000,
        runtime="1h",
    conda:
        "../envs/keras.yaml"
    priority: 1
    script:
        "../scripts/collect_trials.py"


rule rerun_trial:
    input:
        **weights_input(tuning_run),
        **soft_labels_input(),
        **arrays_input(tuning_run),
        index=index_of,
        splits=SPLITS,
        best=TUNING / "search/best.json",
    output:
        value=TUNING / "reruns/rank{rank}/seed{seed}/value.json",
        runtime=TUNING / "reruns/rank{rank}/seed{seed}/runtime.json",
        sums=TUNING / "reruns/rank{rank}/seed{seed}/SHA256SUMS",
    params:
        model=model_params,
        tune=tune_params(*NOT_OF_TRIALS),
        compute=study.compute,
        code=model_code("rerun_trial"),
    log:
        LOGS / "rerun_trial/{dataset}/{model}/rank{rank}/seed{seed}.log",
    benchmark:
        BENCHMARKS / "rerun_trial/{dataset}/{model}/rank{rank}/seed{seed}.tsv"
    threads: study.threads
    resources:
        gpu=gpus_of,
        mem_mb=4000,
        runtime="8h",
    conda:
        "../envs/keras.yaml"
    priority: 1
    script:
        "../scripts/rerun_trial.py"


rule choose_trial:
    input:
        best=TUNING / "search/best.json",
        reruns=rerun_values,
    output:
        best=TUNING / "best.json",
        sums=TUNING / "SHA256SUMS",
    params:
        tune=tune_params(*NOT_OF_TRIALS),
        code=fingerprint("choose_trial"),
    log:
        LOGS / "choose_trial/{dataset}/{model}.log",
    benchmark:
        BENCHMARKS / "choose_trial/{dataset}/{model}.tsv"
    threads: 1
    resources:
        mem_mb=1000,
        runtime="1h",
    conda:
        "../envs/keras.yaml"
    priority: 1
    script:
        "../scripts/choose_trial.py"
