"""Where the files of each stage are, and which of them a job reads."""

PROJECT = Path(os.path.relpath(workflow.basedir))  # relative: a moved project is no changed one
RESULTS = Path("results") / study.study
LOGS = RESULTS / "logs"
BENCHMARKS = RESULTS / "benchmarks"

STORE = Path("data/{dataset}-{key}")
STORES = {name: Path(f"data/{name}-{dataset.key}") for name, dataset in study.datasets.items()}
SPLITS = RESULTS / "splits/{dataset}.parquet"
TUNING = RESULTS / "tuning/{dataset}/{model}"
RUN = RESULTS / "runs/{dataset}/{model}/seed{seed}"
ENSEMBLE = RESULTS / "ensembles/{dataset}/{ensemble}"
EMBEDDING = RESULTS / "embeddings/{dataset}/{trained_on}/{model}/seed{seed}"
SOFT_LABELS = RESULTS / "soft_labels/{dataset}/{ensemble}"
TABLES = RESULTS / "tables"
FIGURES = RESULTS / "figures"
PAGE = RESULTS / "report.html"

TRAINED = list(dict.fromkeys((run.dataset, run.model) for run in study.runs))
TUNED = [(dataset, model) for dataset, model in TRAINED if study.models[model].tune]
COMBINED = [(dataset, name) for name, item in study.ensembles.items() for dataset in study.datasets_of(item)]
COMPARED = [dataset for dataset in study.datasets if study.models_on(dataset)]
RANKED, _ = ranked(
    {dataset: study.models_on(dataset) + [name for on, name in COMBINED if on == dataset] for dataset in COMPARED}
)
GROWN = [(dataset, name) for dataset, name in COMBINED if study.ensembles[name].reads == "predictions"]
TUNING_FIGURES = ["history", "importance", "parallel_coordinates", "intermediate_values", "slice"]
SEARCH_FILES = {"search": "search.json", "trials": "trials.csv", "values": "intermediate_values.csv"}
STEMS = (
    [f"model_comparison.{dataset}" for dataset in COMPARED]
    + [f"learning_curves.{dataset}.{model}" for dataset, model in TRAINED]
    + [f"confusion_matrix.{dataset}.{name}" for dataset, name in [*COMBINED, *TRAINED]]
    + [f"tuning_{kind}.{dataset}.{model}" for dataset, model in TUNED for kind in TUNING_FIGURES]
    + [f"sample_grid.{dataset}" for dataset in COMPARED]
    + [f"growth.{dataset}.{name}" for dataset, name in GROWN]
    + [f"critical_difference.{metric}" for metric in ("top1", "log_loss") if RANKED]
)
FIGURE_FILES = [FIGURES / f"{stem}.{ending}" for stem in STEMS for ending in (*study.look["formats"], "csv")]
TABLE_NAMES = ["runs", "models", "ensembles", "pairs", "ranks"] + (["published"] if study.reference else [])
TABLE_FILES = [TABLES / f"{name}.{ending}" for name in TABLE_NAMES for ending in ("md", "tex")]
GRID_PX = 128  # a tile of the sample grid is not worth reading larger images for


def source_params(wildcards):
    return study.datasets[wildcards.dataset].source.dump()


def source_state(wildcards):
    """What a user's own image folder looks like now; published sources never change."""
    return open_source(source_params(wildcards)).state(STORES[wildcards.dataset] / "raw")


def preparation(wildcards):
    return study.datasets[wildcards.dataset].preparation


def source_code(script):
    """The fingerprint of a script that reads the source of a data set."""
    return lambda wildcards: fingerprint(script, *study.datasets[wildcards.dataset].code_modules)


def store_files(name):
    """The file of this name of each data set."""
    return [STORES[dataset] / name for dataset in COMPARED]


CARDS = store_files("card.html")


def index_of(wildcards):
    return STORES[wildcards.dataset] / "index.parquet"


def templates(*names):
    return [PROJECT / f"graft/report/{name}.j2" for name in names]


def images_of(dataset, model):
    """The list of the images that a model sees."""
    return STORES[dataset] / f"{study.models[model].image_size}px/SHA256SUMS"


def features_of(run):
    """The folder of the frozen activations that a run trains on: shared by studies, but for the weights of a run of this
    one, and where it uses less than all images."""
    name = study.features_name(run.model)
    if study.starts_from(run):
        return RESULTS / f"features/{run.dataset}/seed{run.seed}/{name}"
    if study.datasets[run.dataset].subset:
        return RESULTS / f"features/{run.dataset}/any_seed/{name}"
    return images_of(run.dataset, run.model).parent / f"features/{name}"


FROZEN = {study.features_name(name): name for name, model in study.models.items() if model.frozen}
COMPUTED = sorted({(run.dataset, features_of(run)) for run in study.runs if study.models[run.model].frozen})


def features_run(wildcards):
    """A run that trains on these activations."""
    model = FROZEN[wildcards.features]
    seed = study.seeds_of(model)[0] if wildcards.start == "any_seed" else int(wildcards.start.removeprefix("seed"))
    return Run(wildcards.dataset, model, seed)


def training_run(wildcards):
    return Run(wildcards.dataset, wildcards.model, int(wildcards.seed))


def tuning_run(wildcards):
    """The run whose weights a search starts from, if it starts from those of a run."""
    return Run(wildcards.dataset, wildcards.model, study.seeds_of(wildcards.model)[0])


def arrays_input(run_of):
    """The inputs of a training: images, and the activations of the frozen part if there is one."""

    def features(wildcards):
        run = run_of(wildcards)
        return str(features_of(run) / "SHA256SUMS") if study.models[run.model].frozen else []

    images = {"images": lambda wildcards: str(images_of(wildcards.dataset, wildcards.model))}
    return images | ({"features": features} if FROZEN else {})


def model_code(script):
    """The fingerprint of a script that builds the network of a model."""
    codes = {name: fingerprint(script, *model.code_modules) for name, model in study.models.items()}
    return lambda wildcards: codes[wildcards.model]


def model_params(wildcards):
    return study.models[wildcards.model].trained


def gpus_of(wildcards):
    """How many GPUs a training of the model shares its batches out to."""
    return study.models[wildcards.model].gpu or 1


def weights_sums(remote):
    return Path("data/weights") / remote.name / "SHA256SUMS"


PRESETS = {model.preset.name: model.preset for model in study.models.values() if model.preset}
# All that stands in data/weights, by the name of its folder.
WEIGHTS = {
    model.weights_file.name: model.weights_file for model in study.models.values() if model.weights_file
} | PRESETS


OWN_WEIGHTS = any(model.own_weights for model in study.models.values())


def weights_of(run):
    """The files that list, or are, what a run starts from: the preset that its backbone is, and its weights."""
    model, source = study.models[run.model], study.starts_from(run)
    files = [weights_sums(model.preset)] if model.preset else []
    if source:
        files += run_files([source], "SHA256SUMS")
    elif model.weights_file:
        files.append(weights_sums(model.weights_file))
    elif model.own_weights:
        files.append(model.own_weights.file)
    return [str(file) for file in files]


def weights_input(run_of):
    """The input of a rule that is the weights a run starts from, where any run's come in a file."""
    return {"weights": lambda wildcards: weights_of(run_of(wildcards))} if WEIGHTS or OWN_WEIGHTS else {}


NOT_OF_TRIALS = ("trials", "workers", "timeout", "top_k", "reruns", "refit", "storage")


def tune_params(*without):
    """What a study says of a model's search, but for some keys."""
    return lambda wildcards: study.models[wildcards.model].tune.dump(*without)


def refit_of(wildcards):
    """Whether the run of a tuned model goes on from its trial's checkpoint."""
    tune = study.models[wildcards.model].tune
    return tune.refit if tune else "retrain"


def kept_checkpoints(wildcards):
    """Of how many trials the checkpoints are kept, for one of them may be trained on."""
    tune = study.models[wildcards.model].tune
    return (tune.top_k or 1) if tune.refit == "continue" else 0


def worker_folders(dataset, model):
    """The folder of each worker of a search."""
    workers = range(study.models[model].tune.workers)
    return [RESULTS / f"tuning/{dataset}/{model}/workers/{worker}" for worker in workers]


def rerun_folders(dataset, model):
    """The seed and the folder of each time that one of the best trials is run again, if any is."""
    tune = study.models[model].tune
    seeds = range(tune.seed + 1, tune.seed + 1 + (tune.reruns or 0))
    ranks = range(1, 1 + (tune.top_k or 0))
    folder = RESULTS / f"tuning/{dataset}/{model}/reruns"
    return [(seed, folder / f"rank{rank}/seed{seed}") for rank in ranks for seed in seeds]


def search_files(wildcards):
    """What each worker of a search leaves."""
    return [folder / "search.json" for folder in worker_folders(wildcards.dataset, wildcards.model)]


def rerun_values(wildcards):
    """The values of the best trials from other seeds, if they are run again."""
    return [folder / "value.json" for _, folder in rerun_folders(wildcards.dataset, wildcards.model)]


# Of each job that trains for a search: data set, model, the seed where it has one of its own, and folder.
TUNING_JOBS = [
    (dataset, model, *job)
    for dataset, model in TUNED
    for job in [(None, folder) for folder in worker_folders(dataset, model)] + rerun_folders(dataset, model)
]


def best_params(wildcards):
    """The outcome of a model's search, if it is tuned."""
    return str(TUNING / "best.json") if study.models[wildcards.model].tune else []


def run_files(runs, name):
    """The file of this name of each of these runs."""
    return [RESULTS / f"runs/{run.dataset}/{run.model}/seed{run.seed}/{name}" for run in runs]


def run_histories(wildcards):
    runs = [Run(wildcards.dataset, wildcards.model, seed) for seed in study.seeds_of(wildcards.model)]
    return run_files(runs, "history.csv")


def tuning_files(name):
    """The file of this name of each search."""
    return [RESULTS / f"tuning/{dataset}/{model}/{name}" for dataset, model in TUNED]


def ensembles_that_read(what):
    """The ensembles whose method reads this of its members, as a constraint of a wildcard."""
    return "|".join(name for name, item in study.ensembles.items() if item.reads == what) or "(?!)"


def method_of(wildcards):
    return study.ensembles[wildcards.ensemble].method.dump()


def temperature_of(wildcards):
    return bool(study.ensembles[wildcards.ensemble].temperature)


def members_of(wildcards):
    return study.members(wildcards.ensemble, wildcards.dataset)


def run_folder(dataset, model, seed):
    return RESULTS / f"runs/{dataset}/{model}/seed{seed}"


def files_of_member(member):
    """Where what a member predicts is read from."""
    if member.kind == "file":
        return [member.file]
    if member.kind == "trials":
        return [RESULTS / f"tuning/{member.dataset}/{member.model}/trials/SHA256SUMS"]
    name = "snapshots.npz" if member.kind == "snapshots" else "predictions.npz"
    return [run_folder(member.dataset, member.model, seed) / name for seed in member.seeds]


def networks_of_member(member):
    """The models of which a member is, if they are kept."""
    kept = member.kind in ("run", "folds")
    return [run_folder(member.dataset, member.model, seed) / "model.keras" for seed in member.seeds if kept]


def member_files(wildcards):
    return [file for member in members_of(wildcards) for file in files_of_member(member)]


def member_runs(wildcards, name):
    """The file of this name of each run that is a member."""
    return [run_folder(member.dataset, member.model, *member.seeds) / name for member in members_of(wildcards)]


def known_predictions(wildcards):
    """What the members that were trained on the ensemble's data set predict."""
    members = [member for member in members_of(wildcards) if member.dataset == wildcards.dataset]
    return [file for member in members for file in files_of_member(member)]


def member_embeddings(wildcards):
    """What the network of each member makes of the images of the ensemble's data set."""
    return [
        str(EMBEDDING / "embeddings.npz").format(
            dataset=wildcards.dataset, trained_on=member.dataset, model=member.model, seed=member.seeds[0]
        )
        for member in members_of(wildcards)
    ]


def member_params(wildcards):
    """What ``ensemble.json`` says of each member before anything is known of its worth."""
    folder = str(ENSEMBLE).format(**wildcards)
    rows = []
    for member in members_of(wildcards):
        model = study.models.get(member.model)
        row = {
            "member": member.name,
            "kind": member.kind,
            "dataset": member.dataset,
            "count": len(files_of_member(member)),
        }
        row |= {"model": member.model, "image_size": model.image_size} if model else {}
        row |= {"seed": member.seeds[0]} if len(member.seeds) == 1 else {}
        row |= {"test_time": model.test_time} if model and model.test_time else {}
        row |= {"most": member.most} if member.most else {}
        if study.ensembles[wildcards.ensemble].reads != "predictions":
            known = files_of_member(member) if member.dataset == wildcards.dataset else []
            row["predictions"] = [os.path.relpath(path, folder) for path in known]
        rows.append(row | {"networks": [os.path.relpath(path, folder) for path in networks_of_member(member)]})
    return rows


def preparation_of_new(wildcards):
    """How new images become those that a network sees."""
    dataset = study.datasets[wildcards.dataset]
    return {"resize": dataset.resize, "interpolation": dataset.interpolation}


def averaged_images(wildcards):
    return images_of(wildcards.dataset, members_of(wildcards)[0].model)


def averaged_test_time(wildcards):
    return study.models[members_of(wildcards)[0].model].test_time or []


def soft_labels_of(wildcards):
    """What the ensemble that a model learns from says, if there is one."""
    distill = study.models[wildcards.model].distill
    path = str(SOFT_LABELS / "soft_labels.npz")
    return path.format(dataset=wildcards.dataset, ensemble=distill.ensemble) if distill else []


def soft_labels_input():
    """The input of a rule that is the soft labels a model learns from, where any model does."""
    return {"soft_labels": soft_labels_of} if study.students else {}


def makes_snapshots(model):
    return model.train.schedule.name == "cosine_cycles"


def models_where(holds):
    """The models of which this holds, as a constraint of a wildcard."""
    return "|".join(name for name, model in study.models.items() if holds(model)) or "(?!)"


def teacher_networks(wildcards):
    """The networks that an ensemble asks about new images."""
    if study.ensembles[wildcards.ensemble].reads == "weights":
        return [str(ENSEMBLE / "model.keras").format(**wildcards)]
    return [network for member in members_of(wildcards) for network in networks_of_member(member)]


def teacher_predictions(wildcards):
    """What a method is fitted on again."""
    return member_files(wildcards) if study.ensembles[wildcards.ensemble].reads == "predictions" else []


def teacher_head(wildcards):
    return (
        [str(ENSEMBLE / "head.npz").format(**wildcards)]
        if study.ensembles[wildcards.ensemble].reads == "embeddings"
        else []
    )


def teacher_sizes(wildcards):
    return sorted({study.models[member.model].image_size for member in members_of(wildcards)})


def teacher_images(wildcards):
    return [STORES[wildcards.dataset] / f"{size}px/SHA256SUMS" for size in teacher_sizes(wildcards)]


def named_predictions(wildcards):
    """The predictions behind one name of a table: of every seed of a model, or of an ensemble."""
    if wildcards.name in study.ensembles:
        return [RESULTS / f"ensembles/{wildcards.dataset}/{wildcards.name}/predictions.npz"]
    runs = [Run(wildcards.dataset, wildcards.name, seed) for seed in study.seeds_of(wildcards.name)]
    return run_files(runs, "predictions.npz")


def grid_images(wildcards):
    """The largest images of a data set that fit a tile of the grid."""
    sizes = study.sizes(wildcards.dataset)
    size = max([size for size in sizes if size <= GRID_PX] or sizes[:1])
    return STORES[wildcards.dataset] / f"{size}px/SHA256SUMS"


def figure_files(stem, caption=None, **labels):
    """The outputs of a figure's rule; its caption is named for its kind, or as ``caption`` says."""
    kind = stem.partition(".")[0]
    return {
        "png": report(
            FIGURES / f"{stem}.png",
            category="Figures",
            subcategory=kind.replace("_", " "),
            labels={"data set": "{dataset}", **labels},
            caption=f"captions/{caption or kind}.rst",
        ),
        **{ending: FIGURES / f"{stem}.{ending}" for ending in study.look["formats"] if ending != "png"},
        "table": FIGURES / f"{stem}.csv",
        "sums": FIGURES / f"{stem}.sha256",
    }
