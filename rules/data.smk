"""From a source to arrays that every study shares, and to the splits of this study."""


rule downloads:
    input:
        store_files("raw/SHA256SUMS"),
        [weights_sums(remote) for remote in WEIGHTS.values()],


rule datasets:
    input:
        CARDS,
        [STORES[dataset] / f"{size}px/SHA256SUMS" for dataset in COMPARED for size in study.sizes(dataset)],
        [RESULTS / f"splits/{dataset}.parquet" for dataset in COMPARED],


rule download_dataset:
    output:
        sums=STORE / "raw/SHA256SUMS",
    params:
        source=source_params,
        state=source_state,
        # Parameters that look at `input` make nothing stale: where a verified file came from does not matter.
        mirror=lambda wildcards, input: study.mirror or [],
        code=source_code("download_dataset"),
    log:
        LOGS / "download_dataset/{dataset}-{key}.log",
    benchmark:
        BENCHMARKS / "download_dataset/{dataset}-{key}.tsv"
    threads: 1
    resources:
        mem_mb=1000,
        runtime="4h",
    conda:
        "../envs/analysis.yaml"
    script:
        "../scripts/download_dataset.py"


rule index_dataset:
    input:
        raw=STORE / "raw/SHA256SUMS",
    output:
        index=STORE / "index.parquet",
        near=STORE / "near.parquet",
        quarantine=STORE / "quarantine.csv",
        examples=STORE / "examples.npz",
        sums=STORE / "SHA256SUMS",
    params:
        source=source_params,
        preparation=preparation,
        # Arrays that are made on the way, since each image is decoded anyway; their rule makes any other size.
        sizes=lambda wildcards, input: study.sizes(wildcards.dataset),
        code=source_code("index_dataset"),
    log:
        LOGS / "index_dataset/{dataset}-{key}.log",
    benchmark:
        BENCHMARKS / "index_dataset/{dataset}-{key}.tsv"
    threads: 8
    resources:
        mem_mb=4000,
        runtime="4h",
    conda:
        "../envs/analysis.yaml"
    script:
        "../scripts/index_dataset.py"


rule prepare_images:
    input:
        raw=STORE / "raw/SHA256SUMS",
        index=STORE / "index.parquet",
    output:
        images=STORE / "{size}px/images.npy",
        sums=STORE / "{size}px/SHA256SUMS",
    params:
        source=source_params,
        preparation=preparation,
        size=lambda wildcards: int(wildcards.size),
        code=source_code("prepare_images"),
    log:
        LOGS / "prepare_images/{dataset}-{key}-{size}px.log",
    benchmark:
        BENCHMARKS / "prepare_images/{dataset}-{key}-{size}px.tsv"
    threads: 8
    resources:
        mem_mb=4000,
        runtime="4h",
    conda:
        "../envs/analysis.yaml"
    script:
        "../scripts/prepare_images.py"


rule describe_dataset:
    input:
        index=STORE / "index.parquet",
        near=STORE / "near.parquet",
        quarantine=STORE / "quarantine.csv",
        examples=STORE / "examples.npz",
        templates=templates("card.html", "shared.html"),
    output:
        card=report(
            STORE / "card.html",
            category="Data",
            labels={"data set": "{dataset}"},
            caption="captions/card.rst",
        ),
        sums=STORE / "card.sha256",
    params:
        dataset=lambda wildcards: wildcards.dataset,
        source=source_params,
        facts=lambda wildcards: dict(study.datasets[wildcards.dataset].facts),
        preparation=preparation,
        code=fingerprint("describe_dataset"),
    log:
        LOGS / "describe_dataset/{dataset}-{key}.log",
    benchmark:
        BENCHMARKS / "describe_dataset/{dataset}-{key}.tsv"
    threads: 1
    resources:
        mem_mb=2000,
        runtime="1h",
    conda:
        "../envs/analysis.yaml"
    script:
        "../scripts/describe_dataset.py"


rule split_dataset:
    input:
        index=index_of,
        near=lambda wildcards: STORES[wildcards.dataset] / "near.parquet",
        quarantine=lambda wildcards: STORES[wildcards.dataset] / "quarantine.csv",
    output:
        splits=SPLITS,
        leaks=RESULTS / "splits/{dataset}.leaks.csv",
        sums=RESULTS / "splits/{dataset}.sha256",
        leaks_sums=RESULTS / "splits/{dataset}.leaks.sha256",
    params:
        division=lambda wildcards: study.datasets[wildcards.dataset].division,
        code=fingerprint("split_dataset"),
    log:
        LOGS / "split_dataset/{dataset}.log",
    benchmark:
        BENCHMARKS / "split_dataset/{dataset}.tsv"
    threads: 1
    resources:
        mem_mb=2000,
        runtime="1h",
    conda:
        "../envs/analysis.yaml"
    script:
        "../scripts/split_dataset.py"
