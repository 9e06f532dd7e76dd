"""Histories in the format of TensorBoard, which no other target needs."""

EVENTS = RESULTS / "tensorboard/{dataset}/{model}/seed{seed}"
# A folder each, and TensorBoard draws the two in one chart. It would read any file with "tfevents" in its name.
EVENT_FILES = {split: EVENTS / split / "events.out.tfevents.history" for split in ("train", "validation")}


rule tensorboard:
    input:
        [str(file).format(**run._asdict()) for run in study.runs for file in EVENT_FILES.values()],


rule write_events:
    input:
        history=RUN / "history.json",
    output:
        **EVENT_FILES,
        sums=[file.with_name("SHA256SUMS") for file in EVENT_FILES.values()],
    params:
        code=fingerprint("write_events"),
    log:
        LOGS / "write_events/{dataset}/{model}/seed{seed}.log",
    benchmark:
        BENCHMARKS / "write_events/{dataset}/{model}/seed{seed}.tsv"
    threads: 1
    resources:
        mem_mb=1000,
        runtime="1h",
    conda:
        "../envs/tensorboard.yaml"
    script:
        "../scripts/write_events.py"
