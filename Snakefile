"""Graft: transfer-learning studies for image classification.

Reads one study (config.yaml, or the one that --configfile names), and includes the rules of every stage.
"""

import os
import re
import sys
from pathlib import Path

sys.path.insert(0, workflow.basedir)  # where scripts look for graft too

from graft.config import Run
from graft.errors import UserError
from graft.fingerprint import fingerprint
from graft.ranked import ranked
from graft.sources.base import open_source
from graft.study_file import choose_study, read_study

try:
    study = read_study(choose_study(workflow.config_settings, Path(workflow.basedir) / "config.yaml"))
except UserError as error:
    sys.exit(str(error))


wildcard_constraints:
    dataset="|".join(study.datasets),
    model="|".join(study.models),
    trained_on="|".join(study.datasets),
    ensemble="|".join(study.ensembles) or "(?!)",
    key="[0-9a-f]{10}",
    seed="[0-9]+",
    size="[0-9]+",
    worker="[0-9]+",
    rank="[0-9]+",


include: "rules/common.smk"


# The first rule is the default target.
rule all:
    input:
        PAGE,
        FIGURE_FILES,
        TABLE_FILES,
        CARDS,


include: "rules/data.smk"
include: "rules/weights.smk"
include: "rules/features.smk"
include: "rules/tuning.smk"
include: "rules/training.smk"
include: "rules/ensembles.smk"
include: "rules/evaluation.smk"
include: "rules/published.smk"
include: "rules/tables.smk"
include: "rules/figures.smk"
include: "rules/report.smk"
include: "rules/tensorboard.smk"


localrules:
    all,
    datasets,
    downloads,
    figures,
    report,
    tensorboard,
