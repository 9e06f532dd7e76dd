"""From a source to arrays that every study shares, and to the splits of this study."""


rule downloads:
    input:
        [store / "raw/SHA256SUMS" for store in STORES.values()],


rule download_dataset:
    output:
        sums=STORE / "raw/SHA256SUMS",
    params:
        source=source_params,
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
        sums=STORE / "SHA256SUMS",
    params:
        source=source_params,
        code=source_code("index_dataset"),
    log:
        LOGS / "index_dataset/{dataset}-{key}.log",
    benchmark:
        BENCHMARKS / "index_dataset/{dataset}-{key}.tsv"
    threads: 1
    resources:
        mem_mb=1000,
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
        size=lambda wildcards: int(wildcards.size),
        code=source_code("prepare_images"),
    log:
        LOGS / "prepare_images/{dataset}-{key}-{size}px.log",
    benchmark:
        BENCHMARKS / "prepare_images/{dataset}-{key}-{size}px.tsv"
    threads: 1
    resources:
        mem_mb=1000,
        runtime="4h",
    conda:
        "../envs/analysis.yaml"
    script:
        "../scripts/prepare_images.py"


rule split_dataset:
    input:
        index=index_of,
    output:
        splits=SPLITS,
        sums=RESULTS / "splits/{dataset}.sha256",
    params:
        split=lambda wildcards: study.datasets[wildcards.dataset].split.dump(),
        code=fingerprint("split_dataset"),
    log:
        LOGS / "split_dataset/{dataset}.log",
    benchmark:
        BENCHMARKS / "split_dataset/{dataset}.tsv"
    threads: 1
    resources:
        mem_mb=1000,
        runtime="1h",
    conda:
        "../envs/analysis.yaml"
    script:
        "../scripts/split_dataset.py"
