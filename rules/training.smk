"""One job per model, data set and seed."""


rule train_model:
    input:
        **weights_input(training_run),
        **arrays_input(training_run),
        index=index_of,
        splits=SPLITS,
        tuned=best_params,
    output:
        model=RUN / "model.keras",
        history=RUN / "history.csv",
        history_json=RUN / "history.json",
        predictions=ensure(RUN / "predictions.npz", non_empty=True),
        runtime=RUN / "runtime.json",
        sums=RUN / "SHA256SUMS",
    params:
        model=model_params,
        seed=lambda wildcards: int(wildcards.seed),
        refit=refit_of,
        compute=study.compute,
        code=model_code("train_model"),
    log:
        LOGS / "train_model/{dataset}/{model}/seed{seed}.log",
    benchmark:
        BENCHMARKS / "train_model/{dataset}/{model}/seed{seed}.tsv"
    threads: study.threads
    resources:
        gpu=gpus_of,
        mem_mb=4000,
        runtime="8h",
    conda:
        "../envs/keras.yaml"
    script:
        "../scripts/train_model.py"
