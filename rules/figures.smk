"""Figures from saved predictions, histories and tables alone: PNG, SVG and the data behind them as CSV."""

FIGURES = RESULTS / "figures"
GRID_PX = 128  # a tile of the sample grid is not worth reading larger images for


def figure_files(stem, **labels):
    """The outputs of a figure's rule."""
    kind = stem.partition(".")[0]
    return {
        "png": report(
            FIGURES / f"{stem}.png",
            category="Figures",
            subcategory=kind.replace("_", " "),
            labels={"data set": "{dataset}", **labels},
            caption=f"captions/{kind}.rst",
        ),
        "svg": FIGURES / f"{stem}.svg",
        "table": FIGURES / f"{stem}.csv",
        "sums": FIGURES / f"{stem}.sha256",
    }


def grid_images(wildcards):
    """The largest images of a data set that fit a tile of the grid."""
    sizes = sorted({study.models[name].image_size for name in study.models_on(wildcards.dataset)})
    size = max([size for size in sizes if size <= GRID_PX] or sizes[:1])
    return STORES[wildcards.dataset] / f"{size}px/SHA256SUMS"


def named_predictions(wildcards):
    """The predictions behind one name of a table: of every seed of a model, or of an ensemble."""
    if wildcards.name in study.ensembles:
        return [RESULTS / f"ensembles/{wildcards.dataset}/{wildcards.name}/predictions.npz"]
    return run_files(
        [Run(wildcards.dataset, wildcards.name, seed) for seed in study.seeds],
        "predictions.npz",
    )


TUNED = [(run.dataset, run.model) for run in study.runs if run.seed == study.seeds[0] and study.models[run.model].tune]
TRAINED = [(run.dataset, run.model) for run in study.runs if run.seed == study.seeds[0]]
COMPARED = [dataset for dataset in study.datasets if study.models_on(dataset)]

STEMS = (
    [f"model_comparison.{dataset}" for dataset in COMPARED]
    + [f"learning_curves.{dataset}.{model}" for dataset, model in TRAINED]
    + [f"confusion_matrix.{dataset}.{name}" for dataset, name in [*COMBINED, *TRAINED]]
    + [f"tuning_history.{dataset}.{model}" for dataset, model in TUNED]
    + [f"sample_grid.{dataset}" for dataset in COMPARED]
)


rule figures:
    input:
        [FIGURES / f"{stem}.png" for stem in STEMS],


rule draw_sample_grid:
    input:
        images=grid_images,
        index=lambda wildcards: STORES[wildcards.dataset] / "index.parquet",
        splits=RESULTS / "splits/{dataset}.parquet",
    output:
        **figure_files("sample_grid.{dataset}"),
    params:
        code=fingerprint("draw_sample_grid"),
    log:
        LOGS / "draw_sample_grid/{dataset}.log",
    benchmark:
        BENCHMARKS / "draw_sample_grid/{dataset}.tsv"
    threads: 1
    resources:
        mem_mb=1000,
        runtime="1h",
    conda:
        "../envs/analysis.yaml"
    script:
        "../scripts/draw_sample_grid.py"


rule draw_learning_curves:
    input:
        histories=lambda wildcards: run_files(
            [Run(wildcards.dataset, wildcards.model, seed) for seed in study.seeds],
            "history.csv",
        ),
    output:
        **figure_files("learning_curves.{dataset}.{model}", model="{model}"),
    params:
        seeds=study.seeds,
        code=fingerprint("draw_learning_curves"),
    log:
        LOGS / "draw_learning_curves/{dataset}/{model}.log",
    benchmark:
        BENCHMARKS / "draw_learning_curves/{dataset}/{model}.tsv"
    threads: 1
    resources:
        mem_mb=1000,
        runtime="1h",
    conda:
        "../envs/analysis.yaml"
    script:
        "../scripts/draw_learning_curves.py"


rule draw_confusion_matrix:
    input:
        predictions=named_predictions,
    output:
        **figure_files("confusion_matrix.{dataset}.{name}", model="{name}"),
    params:
        code=fingerprint("draw_confusion_matrix"),
    wildcard_constraints:
        name="|".join([*study.models, *study.ensembles]),
    log:
        LOGS / "draw_confusion_matrix/{dataset}/{name}.log",
    benchmark:
        BENCHMARKS / "draw_confusion_matrix/{dataset}/{name}.tsv"
    threads: 1
    resources:
        mem_mb=1000,
        runtime="1h",
    conda:
        "../envs/analysis.yaml"
    script:
        "../scripts/draw_confusion_matrix.py"


rule draw_model_comparison:
    input:
        runs=TABLES / "runs.csv",
        ensembles=TABLES / "ensembles.csv",
    output:
        **figure_files("model_comparison.{dataset}"),
    params:
        code=fingerprint("draw_model_comparison"),
    log:
        LOGS / "draw_model_comparison/{dataset}.log",
    benchmark:
        BENCHMARKS / "draw_model_comparison/{dataset}.tsv"
    threads: 1
    resources:
        mem_mb=1000,
        runtime="1h",
    conda:
        "../envs/analysis.yaml"
    script:
        "../scripts/draw_model_comparison.py"


rule draw_tuning_history:
    input:
        trials=TUNING / "trials.csv",
    output:
        **figure_files("tuning_history.{dataset}.{model}", model="{model}"),
    params:
        metric=lambda wildcards: study.models[wildcards.model].tune.metric,
        code=fingerprint("draw_tuning_history"),
    log:
        LOGS / "draw_tuning_history/{dataset}/{model}.log",
    benchmark:
        BENCHMARKS / "draw_tuning_history/{dataset}/{model}.tsv"
    threads: 1
    resources:
        mem_mb=1000,
        runtime="1h",
    conda:
        "../envs/analysis.yaml"
    script:
        "../scripts/draw_tuning_history.py"
