"""Puts the files of a KerasHub preset into their folder, with their checksums."""

import os
from pathlib import Path

from graft.files import record_sums
from graft.jobs import job
from graft.presets import Preset
from graft.sources.download import mirrors_from
from graft.sources.presets import fetch_preset

with job(snakemake) as say:
    os.environ["KERAS_BACKEND"] = snakemake.params.backend  # for KerasHub's list, which comes with Keras
    sums = Path(snakemake.output.sums)
    preset = Preset(snakemake.params.preset)
    record_sums(sums, fetch_preset(preset, sums.parent, mirrors_from(snakemake.params.mirror), say))
    say("checked and recorded")
