"""One job per model, data set and seed."""


rule train_model:
    input:
        **weights_input(training_run),
        **soft_labels_input(),
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
    wildcard_constraints:
        model=models_where(lambda model: not makes_snapshots(model)),
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


# With what the network said at the end of each cycle of its schedule.
use rule train_model as train_with_snapshots with:
    output:
        model=RUN / "model.keras",
        history=RUN / "history.csv",
        history_json=RUN / "history.json",
        predictions=ensure(RUN / "predictions.npz", non_empty=True),
        snapshots=RUN / "snapshots.npz",
        runtime=RUN / "runtime.json",
        sums=RUN / "SHA256SUMS",
    wildcard_constraints:
        model=models_where(makes_snapshots),
