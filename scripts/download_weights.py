"""Puts a published file of weights into its folder, with its checksum."""

from pathlib import Path

from graft.files import record_sums
from graft.jobs import job
from graft.sources.download import Downloads, mirrors_from
from graft.sources.remote import Remote

with job(snakemake) as say:
    sums = Path(snakemake.output.sums)
    downloads = Downloads(sums.parent, mirrors_from(snakemake.params.mirror), say)
    record_sums(sums, [downloads.get(Remote(**snakemake.params.remote))])
    say("verified")
