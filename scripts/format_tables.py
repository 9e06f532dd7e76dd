"""Writes the tables of a study as Markdown and as LaTeX."""

from pathlib import Path

from graft.comparisons import read_comparison
from graft.files import read_csv, record_sums, verified_all, write_text
from graft.jobs import job
from graft.published import read_published
from graft.typeset import as_latex, as_markdown, typeset

READERS = {"pairs": read_comparison, "ranks": read_comparison, "published": read_published}

with job(snakemake) as say:
    paths = {path.stem: path for sums in snakemake.input.sums for path in verified_all(sums)}
    for name, markdown, latex in zip(
        snakemake.params.names, snakemake.output.markdown, snakemake.output.latex, strict=True
    ):
        table = typeset(name, READERS.get(name, read_csv)(paths[name]))
        write_text(markdown, as_markdown(table))
        write_text(latex, as_latex(table))
    record_sums(snakemake.output.sums, [*snakemake.output.markdown, *snakemake.output.latex])
    say(f"{len(snakemake.params.names)} tables in {Path(snakemake.output.sums).parent}")
