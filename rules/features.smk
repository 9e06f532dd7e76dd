"""The frozen part of a network runs once per image; models that agree in it share its activations."""

FROZEN = {study.features(name): model for name, model in study.models.items() if model.frozen}


def store_features(dataset, model):
    """The folder of a model's frozen activations on a data set."""
    return STORES[dataset] / f"{study.models[model].image_size}px/features/{study.features(model)}"


def training_arrays(wildcards):
    """What a model trains on: the activations of its frozen part if it has one, else the images."""
    model = study.models[wildcards.model]
    if model.frozen:
        return store_features(wildcards.dataset, wildcards.model) / "SHA256SUMS"
    return STORES[wildcards.dataset] / f"{model.image_size}px/SHA256SUMS"


rule compute_features:
    input:
        images=STORE / "{size}px/SHA256SUMS",
        index=STORE / "index.parquet",
    output:
        sums=STORE / "{size}px/features/{features}/SHA256SUMS",
        runtime=STORE / "{size}px/features/{features}/runtime.json",
    params:
        network=lambda wildcards: FROZEN[wildcards.features].frozen_part,
        compute=study.compute,
        code=lambda wildcards: fingerprint("compute_features", *FROZEN[wildcards.features].code_modules),
    wildcard_constraints:
        features="|".join(FROZEN) or "(?!)",
    log:
        LOGS / "compute_features/{dataset}-{key}-{size}px-{features}.log",
    benchmark:
        BENCHMARKS / "compute_features/{dataset}-{key}-{size}px-{features}.tsv"
    threads: study.threads
    resources:
        gpu=1,
        mem_mb=4000,
        runtime="8h",
    conda:
        "../envs/keras.yaml"
    script:
        "../scripts/compute_features.py"
