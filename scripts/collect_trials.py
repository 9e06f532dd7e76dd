"""Says what came of a search, once all of its workers are done."""

from pathlib import Path

import optuna

from graft.errors import UserError
from graft.files import read_json, record_sums, verified, write_csv, write_json
from graft.jobs import job
from graft.tuning.outcome import (
    best_facts,
    finished_trials,
    gather_predictions,
    intermediate_table,
    search_facts,
    trials_table,
)
from graft.tuning.storage import open_storage

with job(snakemake) as say:
    tune, output = snakemake.params.tune, {name: Path(path) for name, path in snakemake.output.items()}
    state = output["search"].parents[1] / "state"
    names = {read_json(verified(path))["name"] for path in snakemake.input.workers}
    if len(names) > 1:
        raise UserError(
            f"{output['search'].parents[1]}/workers: of different searches; delete it and run snakemake again"
        )
    (name,) = names
    trials = optuna.load_study(study_name=name, storage=open_storage(tune["storage"], state)).get_trials(deepcopy=False)
    finished = finished_trials(trials, tune["trials"])
    write_json(output["search"], search_facts(trials, tune))
    best = best_facts(trials, tune, name)
    write_json(output["best"], best)
    write_csv(output["trials"], trials_table(finished, tune["space"]))
    write_csv(output["values"], intermediate_table(finished))
    record_sums(output["sums"], [output[key] for key in ("search", "best", "trials", "values")])
    record_sums(output["predictions"], gather_predictions(finished, state, name, output["predictions"].parent))
    first = best["best"][0]
    say(f"{len(finished)} trials, best {tune['metric']} {first['value']:.4f} (trial {first['trial']})")
