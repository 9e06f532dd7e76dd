"""Runs the frozen part of a network once over every image of a data set."""

from pathlib import Path

from graft.arrays import open_arrays
from graft.backends import start_backend
from graft.files import record_sums, write_json
from graft.jobs import job
from graft.runtime import Stopwatch
from graft.weights import with_weights

with job(snakemake) as say:
    stopwatch = Stopwatch()
    start_backend(**snakemake.params.compute)
    from graft.features import NOT_STORED, save_activations, split_network
    from graft.finetune import build_network

    (images,) = open_arrays(snakemake.input.images)
    network = with_weights(snakemake.params.network, snakemake.input.get("weights"))
    prefix, _ = split_network(build_network(classes=2, **network))  # it ends before the classes
    sums = Path(snakemake.output.sums)
    paths = save_activations(prefix, images, sums.parent, dtype=snakemake.params.dtype)
    record_sums(sums, paths)
    write_json(snakemake.output.runtime, stopwatch.report(images=len(images)))
    if paths[0].name == NOT_STORED:
        say(paths[0].read_text().strip())
    else:
        say(f"{len(images)} images, once each, to {', '.join(str(output.shape[1:]) for output in prefix.outputs)}")
