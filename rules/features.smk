"""The frozen part of a network runs once per image; models that agree in it share its activations."""


rule compute_features:
    input:
        **weights_input(lambda wildcards: Run(wildcards.dataset, FROZEN[wildcards.features], study.seeds[0])),
        images=STORE / "{size}px/SHA256SUMS",
    output:
        sums=STORE / "{size}px/features/{features}/SHA256SUMS",
        runtime=STORE / "{size}px/features/{features}/runtime.json",
    params:
        network=lambda wildcards: study.models[FROZEN[wildcards.features]].frozen_part,
        compute=study.compute,
        dtype=study.features.dtype if study.features else "float32",
        code=lambda wildcards: fingerprint("compute_features", *study.models[FROZEN[wildcards.features]].code_modules),
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
    # Other jobs wait for this one.
    priority: 1
    script:
        "../scripts/compute_features.py"


# What other studies do not have: of the weights of a run of this one, or of the images that it uses alone.
use rule compute_features as compute_features_of_study with:
    input:
        **weights_input(features_run),
        images=lambda wildcards: images_of(wildcards.dataset, FROZEN[wildcards.features]),
        index=index_of,
        splits=SPLITS,
    output:
        sums=RESULTS / "features/{dataset}/{start}/{features}/SHA256SUMS",
        runtime=RESULTS / "features/{dataset}/{start}/{features}/runtime.json",
    wildcard_constraints:
        features="|".join(FROZEN) or "(?!)",
        start="any_seed|seed[0-9]+",
    log:
        LOGS / "compute_features/{dataset}-{start}-{features}.log",
    benchmark:
        BENCHMARKS / "compute_features/{dataset}-{start}-{features}.tsv"
