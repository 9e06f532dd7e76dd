"""Published weights of backbones, shared by all studies."""


rule download_weights:
    output:
        sums="data/weights/{weights}/SHA256SUMS",
    params:
        remote=lambda wildcards: WEIGHTS[wildcards.weights]._asdict(),
        # As for data sets: where a verified file came from makes nothing stale.
        mirror=lambda wildcards, input: study.mirror or [],
        code=fingerprint("download_weights"),
    wildcard_constraints:
        weights="|".join(map(re.escape, WEIGHTS)) or "(?!)",
    log:
        LOGS / "download_weights/{weights}.log",
    benchmark:
        BENCHMARKS / "download_weights/{weights}.tsv"
    threads: 1
    resources:
        mem_mb=1000,
        runtime="4h",
    conda:
        "../envs/analysis.yaml"
    script:
        "../scripts/download_weights.py"
