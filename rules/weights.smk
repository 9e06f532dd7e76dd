"""Published weights of backbones, and presets of KerasHub, shared by all studies."""


rule download_weights:
    output:
        sums="data/weights/{weights}/SHA256SUMS",
    params:
        remote=lambda wildcards: WEIGHTS[wildcards.weights]._asdict(),
        # As for data sets: where a verified file came from makes nothing stale.
        mirror=lambda wildcards, input: study.mirror or [],
        code=fingerprint("download_weights"),
    wildcard_constraints:
        weights="|".join(map(re.escape, [name for name in WEIGHTS if name not in PRESETS])) or "(?!)",
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


rule download_preset:
    input:
        lambda wildcards: PRESETS[wildcards.preset].files,
    output:
        sums="data/weights/{preset}/SHA256SUMS",
    params:
        preset=lambda wildcards: PRESETS[wildcards.preset].handle,
        # As for data sets: where the files came from makes nothing stale.
        mirror=lambda wildcards, input: study.mirror or [],
        backend=lambda wildcards, input: study.backend,
        code=fingerprint("download_preset"),
    wildcard_constraints:
        preset="|".join(map(re.escape, PRESETS)) or "(?!)",
    log:
        LOGS / "download_preset/{preset}.log",
    benchmark:
        BENCHMARKS / "download_preset/{preset}.tsv"
    threads: 1
    resources:
        mem_mb=2000,
        runtime="4h",
    conda:
        "../envs/keras.yaml"
    script:
        "../scripts/download_preset.py"
