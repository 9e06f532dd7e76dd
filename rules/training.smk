"""One job per model, data set and seed."""

RUN = RESULTS / "runs/{dataset}/{model}/seed{seed}"


def run_files(runs, name):
    """The file of this name of each of these runs."""
    return [RESULTS / f"runs/{run.dataset}/{run.model}/seed{run.seed}/{name}" for run in runs]


rule train_model:
    input:
        arrays=training_arrays,
        index=lambda wildcards: STORES[wildcards.dataset] / "index.parquet",
        splits=RESULTS / "splits/{dataset}.parquet",
        tuned=lambda wildcards: (str(TUNING / "best.json") if study.models[wildcards.model].tune else []),
    output:
        model=RUN / "model.keras",
        history=RUN / "history.csv",
        predictions=ensure(RUN / "predictions.npz", non_empty=True),
        runtime=RUN / "runtime.json",
        sums=RUN / "SHA256SUMS",
    params:
        model=lambda wildcards: study.models[wildcards.model].trained,
        seed=lambda wildcards: int(wildcards.seed),
        compute=study.compute,
        code=lambda wildcards: fingerprint("train_model", *study.models[wildcards.model].code_modules),
    log:
        LOGS / "train_model/{dataset}/{model}/seed{seed}.log",
    benchmark:
        BENCHMARKS / "train_model/{dataset}/{model}/seed{seed}.tsv"
    threads: study.threads
    resources:
        gpu=1,
        mem_mb=4000,
        runtime="8h",
    conda:
        "../envs/keras.yaml"
    script:
        "../scripts/train_model.py"
