"""Puts the published files of a data set into its raw folder, with their checksums."""

from pathlib import Path

from graft.files import record_sums
from graft.jobs import job
from graft.sources.base import open_source
from graft.sources.download import Downloads, mirrors_from

with job(snakemake) as say:
    sums = Path(snakemake.output.sums)
    downloads = Downloads(sums.parent, mirrors_from(snakemake.params.mirror), say)
    files = open_source(snakemake.params.source).fetch(downloads)
    record_sums(sums, files)
    say(f"{len(files)} verified: {', '.join(path.name for path in files)}")
