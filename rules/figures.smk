"""Figures from saved predictions, histories and tables alone: in the formats of the study, and their data as CSV."""


rule figures:
    input:
        FIGURE_FILES,


rule draw_sample_grid:
    input:
        images=grid_images,
        index=index_of,
        splits=SPLITS,
    output:
        **figure_files("sample_grid.{dataset}"),
    params:
        look=study.look,
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
        histories=run_histories,
    output:
        **figure_files("learning_curves.{dataset}.{model}", model="{model}"),
    params:
        seeds=lambda wildcards: study.seeds_of(wildcards.model),
        look=study.look,
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
        look=study.look,
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
        look=study.look,
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


rule draw_tuning:
    input:
        **{name: TUNING / f"search/{file}" for name, file in SEARCH_FILES.items()},
    output:
        **figure_files("tuning_{kind}.{dataset}.{model}", caption="tuning", model="{model}"),
    params:
        look=study.look,
        code=fingerprint("draw_tuning"),
    wildcard_constraints:
        kind="|".join(TUNING_FIGURES),
    log:
        LOGS / "draw_tuning/{kind}/{dataset}/{model}.log",
    benchmark:
        BENCHMARKS / "draw_tuning/{kind}/{dataset}/{model}.tsv"
    threads: 1
    resources:
        mem_mb=2000,
        runtime="1h",
    conda:
        "../envs/analysis.yaml"
    script:
        "../scripts/draw_tuning.py"


rule draw_critical_difference:
    input:
        comparisons=TABLES / "comparisons.sha256",
    output:
        **figure_files("critical_difference.{metric}", **{"data set": "all", "metric": "{metric}"}),
    params:
        look=study.look,
        code=fingerprint("draw_critical_difference"),
    wildcard_constraints:
        metric="top1|log_loss",
    log:
        LOGS / "draw_critical_difference/{metric}.log",
    benchmark:
        BENCHMARKS / "draw_critical_difference/{metric}.tsv"
    threads: 1
    resources:
        mem_mb=1000,
        runtime="1h",
    conda:
        "../envs/analysis.yaml"
    script:
        "../scripts/draw_critical_difference.py"


rule draw_growth:
    input:
        growth=ENSEMBLE / "growth.csv",
    output:
        **figure_files("growth.{dataset}.{ensemble}", model="{ensemble}"),
    params:
        look=study.look,
        code=fingerprint("draw_growth"),
    log:
        LOGS / "draw_growth/{dataset}/{ensemble}.log",
    benchmark:
        BENCHMARKS / "draw_growth/{dataset}/{ensemble}.tsv"
    threads: 1
    resources:
        mem_mb=1000,
        runtime="1h",
    conda:
        "../envs/analysis.yaml"
    script:
        "../scripts/draw_growth.py"
