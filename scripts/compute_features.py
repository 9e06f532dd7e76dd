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
    from graft.features import save_activations, split_network
    from graft.finetune import build_network

    (images,) = open_arrays(snakemake.input.images)
    network = with_weights(snakemake.params.network, snakemake.input.get("weights"))
    prefix, _ = split_network(build_network(classes=2, **network))  # it ends before the classes
    sums = Path(snakemake.output.sums)
    record_sums(sums, save_activations(prefix, images, sums.parent))
    write_json(snakemake.output.runtime, stopwatch.report(images=len(images)))
    say(f"{len(images)} images, once each, to {', '.join(str(output.shape[1:]) for output in prefix.outputs)}")
