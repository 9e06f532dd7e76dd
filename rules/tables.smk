"""The tables as a paper has them, from the CSV files alone."""


rule format_tables:
    input:
        sums=[TABLES / "SHA256SUMS", TABLES / "comparisons.sha256", *PUBLISHED],
    output:
        markdown=[TABLES / f"{name}.md" for name in TABLE_NAMES],
        latex=[TABLES / f"{name}.tex" for name in TABLE_NAMES],
        sums=TABLES / "typeset.sha256",
    params:
        names=TABLE_NAMES,
        code=fingerprint("format_tables"),
    log:
        LOGS / "format_tables.log",
    benchmark:
        BENCHMARKS / "format_tables.tsv"
    threads: 1
    resources:
        mem_mb=1000,
        runtime="1h",
    conda:
        "../envs/analysis.yaml"
    script:
        "../scripts/format_tables.py"
