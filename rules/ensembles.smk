"""Finished networks are combined, from what their jobs left."""


rule combine_ensemble:
    input:
        predictions=member_files,
    output:
        predictions=ensure(ENSEMBLE / "predictions.npz", non_empty=True),
        ensemble=ENSEMBLE / "ensemble.json",
        members=ENSEMBLE / "members.csv",
        diversity=ENSEMBLE / "diversity.csv",
        growth=ENSEMBLE / "growth.csv",
        sums=ENSEMBLE / "SHA256SUMS",
    params:
        method=method_of,
        temperature=temperature_of,
        best=lambda wildcards: study.ensembles[wildcards.ensemble].best,
        members=member_params,
        preparation=preparation_of_new,
        code=lambda wildcards: fingerprint("combine_ensemble", *study.ensembles[wildcards.ensemble].code_modules),
    wildcard_constraints:
        ensemble=ensembles_that_read("predictions"),
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


rule embed_images:
    input:
        model=RESULTS / "runs/{trained_on}/{model}/seed{seed}/model.keras",
        images=lambda wildcards: images_of(wildcards.dataset, wildcards.model),
        index=index_of,
        splits=SPLITS,
    output:
        embeddings=ensure(EMBEDDING / "embeddings.npz", non_empty=True),
        runtime=EMBEDDING / "runtime.json",
        sums=EMBEDDING / "SHA256SUMS",
    params:
        compute=study.compute,
        code=model_code("embed_images"),
    log:
        LOGS / "embed_images/{dataset}/{trained_on}/{model}/seed{seed}.log",
    benchmark:
        BENCHMARKS / "embed_images/{dataset}/{trained_on}/{model}/seed{seed}.tsv"
    threads: study.threads
    resources:
        gpu=1,
        mem_mb=4000,
        runtime="2h",
    conda:
        "../envs/keras.yaml"
    script:
        "../scripts/embed_images.py"


rule concat_ensemble:
    input:
        embeddings=member_embeddings,
        predictions=known_predictions,
        index=index_of,
        splits=SPLITS,
    output:
        predictions=ensure(ENSEMBLE / "predictions.npz", non_empty=True),
        ensemble=ENSEMBLE / "ensemble.json",
        members=ENSEMBLE / "members.csv",
        head=ENSEMBLE / "head.npz",
        sums=ENSEMBLE / "SHA256SUMS",
    params:
        method=method_of,
        temperature=temperature_of,
        members=member_params,
        preparation=preparation_of_new,
        code=fingerprint("concat_ensemble"),
    wildcard_constraints:
        ensemble=ensembles_that_read("embeddings"),
    log:
        LOGS / "concat_ensemble/{dataset}/{ensemble}.log",
    benchmark:
        BENCHMARKS / "concat_ensemble/{dataset}/{ensemble}.tsv"
    threads: study.threads
    resources:
        mem_mb=8000,
        runtime="4h",
    conda:
        "../envs/analysis.yaml"
    script:
        "../scripts/concat_ensemble.py"


rule average_weights:
    input:
        models=lambda wildcards: member_runs(wildcards, "model.keras"),
        predictions=lambda wildcards: member_runs(wildcards, "predictions.npz"),
        images=averaged_images,
        index=index_of,
        splits=SPLITS,
    output:
        model=ENSEMBLE / "model.keras",
        predictions=ensure(ENSEMBLE / "predictions.npz", non_empty=True),
        ensemble=ENSEMBLE / "ensemble.json",
        members=ENSEMBLE / "members.csv",
        runtime=ENSEMBLE / "runtime.json",
        sums=ENSEMBLE / "SHA256SUMS",
    params:
        method=method_of,
        temperature=temperature_of,
        members=member_params,
        preparation=preparation_of_new,
        test_time=averaged_test_time,
        compute=study.compute,
        code=fingerprint("average_weights"),
    wildcard_constraints:
        ensemble=ensembles_that_read("weights"),
    log:
        LOGS / "average_weights/{dataset}/{ensemble}.log",
    benchmark:
        BENCHMARKS / "average_weights/{dataset}/{ensemble}.tsv"
    threads: study.threads
    resources:
        gpu=1,
        mem_mb=4000,
        runtime="4h",
    conda:
        "../envs/keras.yaml"
    script:
        "../scripts/average_weights.py"


# What an ensemble says of the training images, for a network that learns from it.
rule label_images:
    input:
        ensemble=ENSEMBLE / "ensemble.json",
        networks=teacher_networks,
        predictions=teacher_predictions,
        head=teacher_head,
        images=teacher_images,
        index=index_of,
        splits=SPLITS,
    output:
        soft_labels=ensure(SOFT_LABELS / "soft_labels.npz", non_empty=True),
        runtime=SOFT_LABELS / "runtime.json",
        sums=SOFT_LABELS / "SHA256SUMS",
    params:
        sizes=teacher_sizes,
        compute=study.compute,
        code=lambda wildcards: fingerprint("label_images", *study.ensembles[wildcards.ensemble].code_modules),
    log:
        LOGS / "label_images/{dataset}/{ensemble}.log",
    benchmark:
        BENCHMARKS / "label_images/{dataset}/{ensemble}.tsv"
    threads: study.threads
    resources:
        gpu=1,
        mem_mb=4000,
        runtime="4h",
    conda:
        "../envs/keras.yaml"
    script:
        "../scripts/label_images.py"
