"""The page says what the tables say, holds all that it shows, and believes no name."""

import base64
import re
import statistics
from html.parser import HTMLParser
from typing import Any

import pandas as pd
import pytest

from graft.published import published_table
from graft.report import text
from graft.report.page import (
    LABELS,
    Comparisons,
    DataEntry,
    EnsembleEntry,
    FigureEntry,
    RuntimeEntry,
    TuningEntry,
    render_page,
)
from graft.tables import over_seeds

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEElEQVR42mP8z8AARAwQCgAf7gP9i18U1AAAAABJRU5ErkJggg=="
)
SCRIPT = "<script>alert('$x$')</script>"


def run_rows(dataset: str = "digits", seeds: tuple[int, ...] = (0, 1)) -> pd.DataFrame:
    """``steady`` is best on validation, ``lucky`` on test."""
    top1 = {
        ("steady", "validation"): 0.95,
        ("steady", "test"): 0.90,
        ("lucky", "validation"): 0.91,
        ("lucky", "test"): 0.99,
    }
    return pd.DataFrame(
        [
            {"dataset": dataset, "model": model, "seed": seed, "split": split, "images": 200}
            | {"top1": value + seed / 100, "top5": 0.99, "log_loss": 0.25, "calibration_error": 0.034}
            for (model, split), value in top1.items()
            for seed in seeds
        ]
    )


ENSEMBLES = pd.DataFrame(
    [
        {"dataset": "digits", "ensemble": "vote", "method": "soft_vote", "members": 4, "split": split, "images": 200}
        | {"top1": top1, "top1_low": top1 - 0.03, "top1_high": top1 + 0.015}
        | {"top5": 1.0, "log_loss": float("inf"), "calibration_error": 0.02}
        for split, top1 in (("validation", 0.96), ("test", 0.965))
    ]
)
TRIALS = pd.DataFrame(
    {
        "trial": [0, 1, 2],
        "state": ["complete", "pruned", "complete"],
        "value": [0.4, None, 0.123456],
        "epochs": [10, 3, 10],
        "start": [True, False, False],
        "train.learning_rate": [0.1, 0.5, 0.00123456],
    }
)
SEARCH: dict[str, Any] = {
    "metric": "val_loss",
    "direction": "minimize",
    "trials": {"asked": 3, "complete": 2, "pruned": 1, "failed": 0},
    "workers": 1,
    "sampler": {"name": "tpe", "multivariate": True, "group": None},
    "pruner": {"name": "asha", "min_resource": 1, "reduction_factor": 3},
}
TUNING = TuningEntry(
    "digits",
    "steady",
    {"trial": 2, "value": 0.123456, "params": {"train.learning_rate": 0.00123456}},
    SEARCH,
    TRIALS,
    "tuning/digits/steady/search/trials.csv",
)


def rerun(trial: int, value: float, *again: float) -> dict[str, Any]:
    spread = {"mean": statistics.fmean(again), "std": statistics.stdev(again)}
    seeds = [*range(1, 1 + len(again))]
    return {"trial": trial, "value": value, "params": {}, "rerun": {"seeds": seeds, "values": again, **spread}}


def job(stage: str, name: str, seed: int | None, seconds: float, **facts: Any) -> RuntimeEntry:
    machine = {"system": "Linux-6.1", "processor": "x86_64", "cores": 2, "python": "3.11.9"}
    cost = {"wall_seconds": seconds, "cpu_seconds": 2 * seconds, "peak_memory_mib": 2048.0}
    return RuntimeEntry(
        stage, "digits", name, seed, {**cost, "machine": machine, "versions": {"keras": "3.15.0"}, **facts}
    )


TRAINED = {"parameters": {"total": 1234567, "trainable": 890}, "epochs": 10, "backend": "jax", "device": "CPU"}
RUNTIMES = [
    job("train", "steady", 0, 30.0, images_per_second=1500.4, **TRAINED),
    job("train", "steady", 1, 50.0, images_per_second=1500.4, **TRAINED),
    job("tune", "steady", None, 3600.0),
]


def figure(kind: str, name: str = "steady", caption: str = "A caption.") -> FigureEntry:
    return FigureEntry(
        kind, "digits", name, PNG, caption, [f"figures/{kind}.{ending}" for ending in ("png", "svg", "csv")]
    )


STUDY = {"study": "demo", "title": "A title", "description": "A description.", "graft": "0.1.0"}
HISTORY = pd.DataFrame({"epoch": [1, 2], "loss": [2.0, 0.75], "accuracy": [0.3, 0.8]})
PUBLISHED: list[dict[str, Any]] = [
    {"of": "steady", "images": 10_000, "test": {"top1": 0.54, "log_loss": 2.1671}, "remark": "Read off figure 3."},
    {"of": "lucky", "images": 50, "test": {"top1": 0.98}, "train": {"top1": 0.9123}},
    {"of": "vote", "validation": {"top5": 1.0}},
]
REFERENCE: dict[str, Any] = {
    "title": "A report",
    "authors": "A. Student",
    "date": "July 2021",
    "remarks": ["One run each.", "Validation and test are the same images."],
    "figures": PUBLISHED,
}

# The split of every image that the study uses, by class; it leaves out one image of class 0 and all of class 7.
USED = {0: ["train"] * 5 + ["validation", "test"], 1: ["train", "test"], 3: ["train"], 4: ["test", "test"]}
LEAKS = [
    ("img-0-0", "train", "img-0-6", "test", "near", "reported"),
    ("img-0-7", "train", "img-1-1", "test", "exact", "left out"),
    ("img-7-0", "train", "img-1-1", "test", "near", "reported"),
]


def data(dataset: str = "digits", **changed: Any) -> DataEntry:
    """Tables of a data set whose images are named ``img-<class>-<number>``, without any pixels."""
    ids = [f"img-{label}-{k}" for label, splits in USED.items() for k in range(len(splits))]
    index = pd.DataFrame({"sample_id": [*ids, "img-0-7", "img-7-0"]})
    index["label"] = index["sample_id"].str[4].astype(int)
    index["class_name"] = "class " + index["label"].astype(str)
    index["source"] = index["sample_id"] + ".png"
    index["sha1"] = index["phash"] = [f"{k:016x}" for k in range(len(index))]
    leaks = pd.DataFrame(LEAKS, columns=["sample_id", "split", "copy", "copy_split", "kind", "action"])
    tables = {
        "index": index.assign(split="", width=8, height=8),
        "splits": pd.DataFrame({"sample_id": ids, "split": sum(USED.values(), [])}),
        "near": pd.DataFrame({"phash": ["0" * 16], "other": [f"{6:016x}"]}),
        "quarantine": pd.DataFrame(
            {"source": ["bad.png"], "class_name": ["class 0"], "reason": ["is empty (0 bytes)"]}
        ),
        "leaks": leaks.assign(source=leaks["sample_id"] + ".png", copy_source=leaks["copy"] + ".png"),
    } | changed
    return DataEntry(dataset, **tables, card=f"../../data/{dataset}-1/card.html", leaks_csv="splits/digits.leaks.csv")


def with_reference(dataset: str = "digits", **changed: Any) -> dict[str, Any]:
    """The arguments of a page whose study has a reference."""
    figures = [{"dataset": dataset, **figure} for figure in PUBLISHED]
    histories = {("digits", "lucky"): [HISTORY, HISTORY]}
    return {
        "study": STUDY | {"reference": REFERENCE | changed},
        "published": published_table(figures, run_rows(), ENSEMBLES, histories),
    }


NAN = float("nan")
MEMBERS = [{"member": f"steady seed {k}", "kind": "run", "weight": weight} for k, weight in enumerate((0.25, 0, 0.75))]
BEST = {"member": "steady seed 1", "validation_log_loss": 0.2, "top1": 0.94}
BEST |= {"difference": 0.025, "difference_low": -0.005, "difference_high": 0.055, "p": 0.0423}
FACTS: dict[str, Any] = {
    "method": {"name": "soft_vote", "mean": "geometric", "least": None},
    "temperature": 1.23456,
    "fitted": {"optimality_gap": 1e-9, "sizes": [16, 32], "loss": None},
    "best_member": BEST,
    "classes": ["0", "1"],
    "members": MEMBERS,
}
DIVERSITY = pd.DataFrame(
    {
        "first": ["steady seed 0", "steady seed 0"],
        "second": ["steady seed 1", "steady seed 2"],
        **{"disagreement": [0.1, 0.2], "double_fault": [0.01, 0.02]},
        **{"q_statistic": [-0.5, NAN], "correlation": [NAN, NAN]},
    }
)


def ensemble(*without: str, diversity: pd.DataFrame | None = DIVERSITY, **changed: Any) -> EnsembleEntry:
    facts = {key: value for key, value in (FACTS | changed).items() if key not in without}
    return EnsembleEntry("digits", "vote", facts, diversity)


def compared(*names: str, dataset: str = "digits", p: float = 0.2) -> pd.DataFrame:
    """Every pair of names, of which each one is a point below the one before; only the first and the last differ."""
    rows = [
        {"dataset": dataset, "metric": metric, "first": names[one], "second": names[two], "images": 200}
        | {"first_seeds": 2, "second_seeds": 1, "first_value": 0.95 - one / 100, "second_value": 0.95 - two / 100}
        | {"difference": (two - one) / 100, "difference_low": -0.01, "difference_high": 0.05, "p": 0.01}
        | ({"p_holm": 0.0004, "verdict": "higher"} if two - one == len(names) - 1 else {"p_holm": p, "verdict": SAME})
        for metric in ("top1", "log_loss")
        for one in range(len(names))
        for two in range(one + 1, len(names))
    ]
    return pd.DataFrame(rows)


SAME = "not distinguishable"
RANKS = pd.DataFrame(
    [
        {"metric": "top1", "name": name, "mean_rank": rank, "datasets": 4, "names": 3, "statistic": 1.0, "p": 0.0312}
        | {"critical_difference": 1.6572}
        for name, rank in (("steady", 1.25), ("lucky", 2.0), ("vote", 2.75))
    ]
)


def comparisons(pairs: pd.DataFrame, ranks: pd.DataFrame = RANKS[:0]) -> Comparisons:
    return Comparisons(pairs, ranks, "tables/pairs.csv", "tables/ranks.csv")


def page(**changed: Any) -> str:
    values: dict[str, Any] = {
        "study": STUDY,
        "runs": run_rows(),
        "ensembles": ENSEMBLES,
        "data": [data()],
        "figures": [
            figure(kind) for kind in ("model_comparison", "learning_curves", "confusion_matrix", "tuning_history")
        ],
        "tuning": [TUNING],
        "runtimes": RUNTIMES,
        "study_text": "study: demo\n",
    } | changed
    return render_page(models=over_seeds(values["runs"]), **values)


class Reader(HTMLParser):
    """Attributes by tag, ids, and the text outside the style sheet, one space between words."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self._words: list[str] = []
        self.feed(html)
        self.words = " ".join("".join(self._words).replace(text.SPACE, " ").split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img", "col", "br"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, f"</{tag}> closes another tag"

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self._words.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def cells(html: str, name: str) -> list[str]:
    """The cells of the first table row whose header starts with ``name``."""
    row = next(row for row in html.split("<tr")[1:] if re.search(rf'<th scope="row"[^>]*>(<bdi>)?{name}\b', row))
    return [cell.replace(text.SPACE, " ") for cell in re.findall(r"<td[^>]*>(.*?)</td>", row)]


def test_equal_values_give_equal_pages() -> None:
    assert page() == page()


def test_a_reduced_variant_says_so() -> None:
    limits = {"models": ["steady"], "images_per_class": 2, "epochs": 1}
    words = Reader(page(study=STUDY | {"limits": limits})).words
    expected = "with some of its models, at most 2 images of a class in each split and at most 1 epoch: it shows"
    assert expected in words
    assert "reduced variant" not in Reader(page()).words


def test_the_answer_names_the_model_that_is_best_on_validation() -> None:
    words = Reader(page()).words
    assert "steady has the highest mean validation top-1 accuracy of 2 models: 95.5 ± 0.7 % (2 seeds)." in words
    assert "On the 200 test images, it scores 90.5 ± 0.7 %; the ensemble vote scores 96.5 %." in words
    assert "better" not in words


def test_test_scores_change_neither_order_nor_choice() -> None:
    worse = run_rows()
    worse.loc[worse["split"] == "test", "top1"] = 0.1

    def order(html: str) -> list[str]:
        return re.findall(r'<th scope="row">(steady|lucky|vote)\b', html)[:3]

    assert order(page()) == order(page(runs=worse)) == ["vote", "steady", "lucky"]
    assert page(runs=worse).count("highest on validation") == 1


def test_models_that_share_the_first_place_are_all_named() -> None:
    rows = run_rows()
    rows.loc[rows["split"] == "validation", "top1"] = 0.9
    words = Reader(page(runs=rows)).words
    assert "steady and lucky share the highest validation top-1 accuracy" in words
    assert "steady scores 90.5 ± 0.7 %, lucky scores 99.5 ± 0.7 %" in words


def test_the_models_table_gives_each_metric_and_what_it_cost() -> None:
    html = page()
    scores = ["95.5 ± 0.7", "90.5 ± 0.7", "99.0 ± 0.0", "0.250 ± 0.000", "3.4 ± 0.0"]
    assert cells(html, "steady") == ["2", *scores, "1,234,567", "890", "40 s"]
    assert cells(html, "vote") == ["4", "96.0", "96.5", "100.0", "∞", "2.0", text.NOTHING, text.NOTHING, text.NOTHING]


def test_one_seed_and_nothing_else_renders_without_spread() -> None:
    bare = {"ensembles": pd.DataFrame(), "figures": [], "tuning": [], "runtimes": []}
    html = page(study=STUDY | {"title": None, "description": None}, runs=run_rows(seeds=(0,)), **bare)
    read = Reader(html)
    assert "nan" not in read.words.lower()
    assert "None" not in read.words
    assert "±" not in read.words
    assert "steady has the highest validation top-1 accuracy of 2 models: 95.0 % (1 seed)." in read.words
    assert "ensemble" not in read.words
    assert not read.of("img")


def test_one_model_is_not_called_the_highest() -> None:
    rows = run_rows()
    words = Reader(page(runs=rows[rows["model"] == "steady"], ensembles=pd.DataFrame())).words
    assert "the one model, steady, has a mean validation top-1 accuracy of 95.5 ± 0.7 % (2 seeds)" in words
    assert "highest" not in words


def test_each_data_set_has_its_answer() -> None:
    words = Reader(page(data=[data(), data("other")], runs=pd.concat([run_rows(), run_rows("other")]))).words
    assert "On digits, steady" in words
    assert "On other, steady" in words
    assert words.count("the ensemble vote scores") == 1


def test_nothing_is_fetched_and_images_are_inside() -> None:
    read = Reader(page())
    links = [value for _, attributes in read.tags for key, value in attributes.items() if key in ("src", "href")]
    assert links
    assert not [link for link in links if link is None or (re.match(r"\w+:|//", link) and not link.startswith("data:"))]
    images = read.of("img")
    assert len(images) == 4
    for image in images:
        assert base64.b64decode(str(image["src"]).removeprefix("data:image/png;base64,")) == PNG
    assert not re.search(r"url\(|@import", page())
    assert not {"script", "iframe", "object"} & {tag for tag, _ in read.tags}


def test_names_and_texts_are_escaped_wherever_they_stand() -> None:
    rows = run_rows(SCRIPT)
    trials = TRIALS.assign(**{SCRIPT: SCRIPT})
    search = {"sampler": {"name": SCRIPT, SCRIPT: SCRIPT}, "pruner": {"name": SCRIPT, SCRIPT: [SCRIPT]}}
    entry = data()
    reference = with_reference(title=SCRIPT, authors=SCRIPT, date=SCRIPT, remarks=[SCRIPT])
    html = page(
        study=reference["study"] | {"title": SCRIPT, "description": SCRIPT, "models": {SCRIPT: {"why": SCRIPT}}},
        published=reference["published"].assign(dataset=SCRIPT, name=SCRIPT, remark=SCRIPT),
        data=[data(SCRIPT, index=entry.index.assign(class_name=SCRIPT), leaks=entry.leaks.assign(source=SCRIPT))],
        runs=rows.assign(model=rows["model"] + SCRIPT),
        ensembles=ENSEMBLES.assign(dataset=SCRIPT, ensemble=SCRIPT, method=SCRIPT),
        figures=[FigureEntry("sample_grid", SCRIPT, SCRIPT, PNG, SCRIPT, [f'"onclick="{SCRIPT}.png'])],
        tuning=[
            TUNING._replace(
                dataset=SCRIPT,
                model=SCRIPT,
                best={**TUNING.best, "params": {SCRIPT: SCRIPT, f"{SCRIPT}[0]": [SCRIPT]}},
                search=SEARCH | search,
                trials=trials,
                csv=SCRIPT,
            )
        ],
        runtimes=[RuntimeEntry("train", SCRIPT, SCRIPT, 0, {"versions": {SCRIPT: SCRIPT}, "backend": SCRIPT})],
        study_text=SCRIPT,
        combined=[
            EnsembleEntry(
                SCRIPT,
                SCRIPT,
                {
                    "method": {"name": SCRIPT, SCRIPT: SCRIPT},
                    "fitted": {SCRIPT: [SCRIPT]},
                    "best_member": BEST | {"member": SCRIPT},
                    "members": [{"member": SCRIPT, "kind": SCRIPT, "weight": 1.0}],
                },
                None,
            )
        ],
        comparisons=Comparisons(
            compared(f"steady{SCRIPT}", f"lucky{SCRIPT}", SCRIPT, dataset=SCRIPT), RANKS, SCRIPT, SCRIPT
        ),
    )
    read = Reader(html)
    assert not read.of("script")
    assert not [key for _, attributes in read.tags for key in attributes if key.startswith("on")]
    assert read.words.count(SCRIPT) > 60


def test_every_part_of_the_page_can_be_reached_and_read_without_seeing_it() -> None:
    read = Reader(page())
    ids = {str(attributes["id"]) for _, attributes in read.tags if "id" in attributes}
    targets = [str(link["href"])[1:] for link in read.of("a") if str(link["href"]).startswith("#")]
    assert targets
    assert set(targets) <= ids
    assert all(image["alt"] and image["width"] and image["height"] for image in read.of("img"))
    assert all(header.get("scope") for header in read.of("th"))
    assert [tag for tag, _ in read.tags].count("h1") == 1
    assert ("html", {"lang": "en"}) in read.tags


def section(html: str, name: str) -> str:
    return html.partition(f'<section id="{name}"')[2].partition("</section>")[0]


def test_published_figures_stand_beside_ours_with_intervals_and_a_verdict() -> None:
    rows = [
        [Reader(cell.replace("<span", " <span")).words for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.DOTALL)]
        for row in section(page(**with_reference()), "published").partition("<tbody>")[2].split("<tr>")[1:]
    ]
    dash = text.NOTHING
    sd = "90.5 ± 0.7"
    assert rows == [
        ["steady Read off figure 3."],
        [
            *("Test top-1, %", "54 53.0 to 55.0", sd, "+36.5 +31.5 to +40.0"),
            *("ours is higher", "10,000", "200"),
        ],
        ["Test log loss, nats", "2.167", "0.250 ± 0.000", "\N{MINUS SIGN}1.917", dash, "10,000", "200"],
        ["lucky"],
        [
            *("Test top-1, %", "98 89.5 to 99.6", "99.5 ± 0.7", "+1.5 \N{MINUS SIGN}1.3 to +10.0"),
            *("not distinguishable", "50", "200"),
        ],
        ["Train top-1, %", "91.23", "80.0 ± 0.0", "\N{MINUS SIGN}11.2", dash, dash, dash],
        ["vote"],
        ["Validation top-5, %", "100", "100.0", "+0.0", dash, dash, "200"],
    ]


def test_the_report_is_named_with_what_to_know_of_it() -> None:
    html = page(**with_reference())
    words = Reader(html).words
    assert "The published figures are those of A report by A. Student, July 2021." in words
    assert re.findall(r"<li>(.*?)</li>", section(html, "published")) == REFERENCE["remarks"]
    assert "No difference between models of this study was tested for significance." in words
    assert 'href="#published"' in html


def test_a_report_of_which_only_the_title_is_known_is_named() -> None:
    values = with_reference()
    values["study"] = STUDY | {"reference": {"title": "A report", "figures": PUBLISHED}}
    html = page(**values)
    assert "The published figures are those of A report." in Reader(html).words
    assert "<li>" not in section(html, "published")


def test_without_a_reference_there_is_no_word_of_published_figures() -> None:
    words = Reader(page()).words
    assert "ublished" not in words
    assert "No difference on this page was tested for significance." in words


def test_each_data_set_has_its_published_figures() -> None:
    values = with_reference()
    other = values["published"].assign(dataset="other")
    html = section(page(**values | {"published": pd.concat([values["published"], other])}), "published")
    assert re.findall(r"<h3>(.*?)</h3>", html)[:2] == ["digits", "other"]
    assert html.count("Read off figure 3.") == 2


def test_infinite_losses_of_ours_are_written_as_such() -> None:
    values = with_reference()
    bounds = dict.fromkeys(("low", "high", "difference_low", "difference_high"), float("nan"))
    infinite = values["published"].assign(metric="log_loss", ours=float("inf"), difference=float("inf"), **bounds)
    html = section(page(**values | {"published": infinite}), "published")
    assert html.count("<td>∞</td>") == html.count("<td>+∞</td>") == len(infinite)


def test_models_say_why_their_parameters_are_what_they_are() -> None:
    models = {"steady": {"why": "As published."}, "lucky": {"train": {}}}
    html = page(study=STUDY | {"models": models})
    assert re.findall(r"<li>(.*?)</li>", section(html, "models")) == ["<b>steady</b>: As published."]
    assert "Why these parameters" not in page()


def test_seeds_are_those_of_the_runs() -> None:
    html = page(runs=pd.concat([run_rows(), run_rows("other", (0, 7))]))
    assert "<dt>Seeds</dt><dd>3</dd>" in html
    assert "seeds 0, 1 and 7, Graft" in Reader(html).words


def rows_of(html: str) -> list[list[str]]:
    """The words of each cell of each row of the bodies of tables."""
    return [
        [Reader(cell.replace("<span", " <span")).words for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.DOTALL)]
        for body in re.findall(r"<tbody>(.*?)</tbody>", html, re.DOTALL)
        for row in body.split("<tr>")[1:]
    ]


def test_ensembles_stand_beside_their_best_members_and_say_what_they_are_of() -> None:
    html = page(combined=[ensemble()], figures=[figure("growth", "vote", "Caption of growth.")])
    part = section(html, "ensembles")
    assert rows_of(part) == [
        [
            "vote soft_vote",
            "3",
            "96.5 93.5 to 98.0",
            "steady seed 1",
            "94.0",
            "+2.5 \N{MINUS SIGN}0.5 to +5.5",
            "0.042",
        ],
        ["steady seed 2", "run", "0.750"],
        ["steady seed 0", "run", "0.250"],
        ["steady seed 1", "run", "0"],
    ]
    dash, minus = text.NOTHING, "\N{MINUS SIGN}"
    assert [Reader(value).words for value in re.findall("<dd>(.*?)</dd>", part)] == [
        "soft_vote (mean: geometric)",
        f"temperature: 1.235; optimality gap: 1e-09; sizes: [16, 32]; loss: {dash}",
        f"disagreement 15.0 %, double fault 1.5 %, Q statistic {minus}0.50, correlation {dash} "
        "(test split, means over 2 pairs of members)",
    ]
    assert part.count("<img ") == 1
    assert "Caption of growth." in part
    assert 'href="#ensembles"' in html
    assert "Further figures" not in html


def test_an_ensemble_of_which_little_is_known_says_that() -> None:
    entry = ensemble("best_member", "temperature", "fitted", diversity=None)
    part = section(page(combined=[entry]), "ensembles")
    assert rows_of(part)[0] == ["vote soft_vote", "3", "96.5 93.5 to 98.0", *[text.NOTHING] * 4]
    assert not re.search("<dt>(Fitted|Diversity)", part)


@pytest.mark.parametrize(
    ("diversity", "expected"), [(DIVERSITY[:0], None), (DIVERSITY[:1], "Q statistic \N{MINUS SIGN}0.50")]
)
def test_one_pair_of_members_has_no_mean_and_one_member_no_diversity(
    diversity: pd.DataFrame, expected: str | None
) -> None:
    words = Reader(section(page(combined=[ensemble(diversity=diversity)]), "ensembles")).words
    assert "means over" not in words
    assert (expected in words) if expected else ("double fault 1" not in words)


def test_of_many_members_those_of_most_weight_are_listed() -> None:
    members = [{"member": f"m{k}", "kind": "trial", "weight": k / 1000} for k in range(1200)]
    part = section(page(combined=[ensemble(members=members)]), "ensembles")
    assert [row[0] for row in rows_of(part)[1:]] == [f"m{k}" for k in range(1199, 1179, -1)]
    assert "And 1,180 members more, with weights of 695.610 in all." in Reader(part).words


def test_without_ensembles_there_is_no_section_of_them() -> None:
    html = page(ensembles=pd.DataFrame())
    assert 'id="ensembles"' not in html
    assert "#ensembles" not in html


def test_few_names_are_compared_in_a_matrix_and_differences_that_hold_are_marked() -> None:
    html = page(comparisons=comparisons(compared("lucky", "vote", "steady")))
    part = section(html, "statistics")
    minus = "\N{MINUS SIGN}"
    matrix, pairs = part.split("<details>")
    assert re.findall(r"<th [^>]*><span style[^>]*>(.*?)</span>", matrix) == ["vote", "steady", "lucky"]
    assert rows_of(matrix) == [
        ["vote", "94.0", "", "+1.0", f"{minus}1.0"],
        ["steady", "93.0", f"{minus}1.0", "", f"{minus}2.0*"],
        ["lucky", "95.0", "+1.0", "+2.0*", ""],
    ]
    assert rows_of(pairs) == [
        ["lucky", "steady", "95.0", "93.0", f"+2.0 {minus}1.0 to +5.0", "<0.001", "higher"],
        ["lucky", "vote", "95.0", "94.0", f"+1.0 {minus}1.0 to +5.0", "0.200", SAME],
        ["vote", "steady", "94.0", "93.0", f"+1.0 {minus}1.0 to +5.0", "0.200", SAME],
    ]
    words = Reader(html).words
    assert "Of 3 pairs, the tests tell apart 1 by top-1 and 1 by log loss (200 test images)." in words
    assert "Of several seeds, each image counts with its mean over them." in words
    assert "was tested for significance" not in words
    assert '<a href="#statistics">' in html
    assert '<a href="tables/pairs.csv">' in part
    assert "ranks.csv" not in part
    assert "better" not in words


@pytest.mark.parametrize(("number", "matrix", "pairs"), [(12, 12, 50), (13, 0, 50)])
def test_of_many_names_the_pairs_of_least_p_are_listed(number: int, matrix: int, pairs: int) -> None:
    names = [f"m{k:02}" for k in range(number)]
    runs = pd.concat([run_rows().query("model == 'steady'").assign(model=name) for name in names])
    table = compared(*names)
    table.loc[(table["first"] == "m05") & (table["second"] == "m06"), "p_holm"] = 0.06
    part = section(page(runs=runs, ensembles=pd.DataFrame(), comparisons=comparisons(table)), "statistics")
    rows = rows_of(part)
    assert len(rows) == matrix + pairs
    assert [row[:2] for row in rows[matrix : matrix + 2]] == [["m00", names[-1]], ["m05", "m06"]]
    more = number * (number - 1) // 2 - pairs
    assert f"And {more} more in tables/pairs.csv." in Reader(part).words


def test_ranks_over_data_sets_have_their_test_and_their_figure() -> None:
    shown = [FigureEntry("critical_difference", "top1", "", PNG, "Caption of ranks.", ["figures/c.png"])]
    values = {"comparisons": comparisons(compared("lucky", "vote", "steady"), RANKS), "figures": shown}
    html = page(**values)
    part = section(html, "statistics")
    words = Reader(part).words
    assert "test of 3 models and ensembles on 4 data sets has p 0.031; " in words
    assert "two mean ranks differ where they are more than 1.66 apart" in words
    assert 'alt="Mean ranks over data sets: top-1"' in part
    assert '<a href="tables/ranks.csv">' in part
    assert html.count("Caption of ranks.") == 1


def test_a_single_model_is_compared_with_nothing() -> None:
    rows = run_rows()
    html = page(
        runs=rows[rows["model"] == "steady"], ensembles=pd.DataFrame(), comparisons=comparisons(compared("steady"))
    )
    assert 'id="statistics"' not in html
    assert "was tested for significance" in Reader(html).words


def test_each_class_has_its_images_by_split() -> None:
    html = page()
    assert [cells(html, f"class {k}")[:4] for k in (0, 1)] == [["5", "1", "1", "7"], ["1", "0", "1", "2"]]
    assert "<bdi>class 7</bdi>" not in html
    words = Reader(html).words
    assert "12 images of 4 classes; 2 more are left out: 1 as copies of images that are held out, " in words
    assert "1 by the study's choice of classes and numbers; 1 could not be used." in words
    assert "The largest class, class 0, has 7 images; the smallest, class 3, has 1: a ratio of 7.00." in words
    assert cells(html, "Total")[:4] == ["7", "1", "4", "12"]


def test_classes_without_images_of_a_split_are_called_out() -> None:
    words = Reader(page()).words
    assert "1 class has no training images: class 4." in words
    assert "3 classes have no validation images: class 1, class 3, class 4." in words
    assert "1 class has no test images: class 3." in words


def test_a_study_that_uses_everything_says_nothing_of_what_it_leaves_out() -> None:
    entry = data()
    everything = pd.DataFrame({"sample_id": entry.index["sample_id"], "split": "train"})
    words = Reader(page(data=[data(splits=everything, leaks=entry.leaks[:0], quarantine=entry.quarantine[:0])])).words
    assert "14 images of 5 classes. The data card" in words
    assert "No image has a copy in a split that is held out more." in words


def test_copies_between_splits_are_counted_and_listed_with_what_was_done() -> None:
    html = page()
    table = html.partition("Images that have a copy in a split that is held out more.")[2].partition("</table>")[0]
    rows = re.findall(r'<tr><th scope="row">(\w+)</th>' + r"<td[^>]*>(.*?)</td>" * 4, table)
    assert rows == [
        ("train", "test", "exact", "1", "left out of the study"),
        ("train", "test", "near", "1", "kept, and reported here"),
    ]
    assert "img-0-0.png train img-0-6.png test near" in " ".join(re.sub(r"<[^>]*>", " ", html).split())
    assert "img-7-0.png" not in html  # the study does not use it


def test_of_many_copies_between_splits_the_first_are_listed() -> None:
    leaks = data().leaks
    many = pd.concat([leaks[:1]] * 1019 + [leaks[1:]])
    html = page(data=[data(leaks=many)])
    assert "The first 20 of these copies" in html
    assert html.count("img-0-6.png") == 19
    assert "And 1,000 more in splits/digits.leaks.csv." in Reader(html).words


def test_copies_among_the_images_that_are_used_are_counted() -> None:
    html = page()
    assert cells(html, "Near") == ["2", "0"]
    used = data().splits
    without = data(splits=used[used["sample_id"] != "img-0-6"])
    assert "No two images have equal pixels" in Reader(page(data=[without])).words


def test_each_data_set_links_to_its_card_and_shows_its_samples() -> None:
    html = page(data=[data(), data("other")], figures=[figure("sample_grid")])
    section = html.partition('<section id="data"')[2].partition("</section>")[0]
    first, _, second = section.partition("<h3>other</h3>")
    assert 'href="../../data/digits-1/card.html"' in first
    assert 'href="../../data/other-1/card.html"' in second
    assert (first.count("<img "), second.count("<img ")) == (1, 0)


def with_search(**changed: Any) -> TuningEntry:
    return TUNING._replace(search=SEARCH | changed)


def test_tuning_says_what_won_and_how_it_was_searched() -> None:
    html = page()
    words = Reader(html).words
    assert "3 trials were asked for: 2 complete and 1 pruned. Pruning saved 7 epochs (23.3 %), counting 10" in words
    assert "Parameters were drawn by TPE (multivariate: True);" in words
    assert "trials were pruned by ASHA (min_resource: 1, reduction_factor: 3)." in words
    assert "Trial 2 is the best, with a validation loss of 0.1235." in words
    assert not re.search("failed|shared the search|winner", words)
    assert cells(section(html, "tuning"), "<code>train.learning_rate") == ["0.001235"]
    assert cells(section(html, "tuning"), "1") == ["pruned", text.NOTHING, "3", "0.5"]
    assert re.findall(r'<th scope="row">(.*?)</th>', section(html, "tuning"))[1:] == [
        '0<span class="muted">starting point</span>',
        "1",
        '2<span class="muted">best</span>',
    ]


def test_tuning_says_what_went_otherwise_than_asked() -> None:
    entry = with_search(
        trials={"asked": 1200, "complete": 2, "pruned": 0, "failed": 1}, workers=4, pruner={"name": "none"}
    )
    words = Reader(page(tuning=[entry._replace(trials=TRIALS.drop(index=1))])).words
    assert "1,200 trials were asked for: 2 complete and 1,198 not begun. 1 more failed and was made up for." in words
    assert "no trial was to be pruned. 4 workers shared the search." in words
    assert "Pruning saved" not in words


def test_tuning_by_accuracy_is_in_percent() -> None:
    entry = with_search(metric="val_accuracy", direction="maximize")
    entry = entry._replace(best={**TUNING.best, "value": 0.98765})
    assert "a validation accuracy of 98.77 %" in Reader(page(tuning=[entry])).words


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("val_loss", {"2": ["0.1235", "0.1400 ± 0.0200", "3", "+0.0165"], "0": ["0.1000", "0.2000 ± 0.1414", "2", "+0.1000"]}),
        ("val_accuracy", {"2": ["12.35", "14.00 ± 2.00", "3", "+1.65"], "0": ["10.00", "20.00 ± 14.14", "2", "+10.00"]}),
    ],
)  # fmt: skip
def test_tuned_values_stand_beside_those_of_their_reruns(metric: str, expected: dict[str, list[str]]) -> None:
    reruns = [rerun(2, 0.123456, 0.12, 0.14, 0.16), rerun(0, 0.1, 0.1, 0.3)]
    entry = with_search(metric=metric)._replace(best={**TUNING.best, "reruns": reruns})
    html = section(page(tuning=[entry]), "tuning")
    words = Reader(html).words
    assert "Trial 2 was chosen, whose re-runs from other seeds are the best in the mean." in words
    assert "The best of many noisy values is too good" in words
    assert {trial: cells(html, trial) for trial in expected} == expected
    assert [re.sub("<.*?>", " ", row) for row in re.findall(r'class="chosen"><th scope="row">(.*?)</th>', html)] == [
        "2 chosen ",
        "2 chosen ",
    ]


def test_of_very_many_trials_the_best_are_listed() -> None:
    values = [*(k / 1000 for k in range(250, 0, -1)), 1e-9]
    many = pd.DataFrame({"trial": range(251), "state": "complete", "value": values, "epochs": 1, "start": False})
    many.loc[250, "state"] = "pruned"
    html = section(page(tuning=[TUNING._replace(trials=many)]), "tuning")
    assert re.findall(r'<th scope="row">(\d+)</th>', html) == [str(k) for k in range(249, 149, -1)]
    assert "The best 100 of the 251 trials of steady on digits" in Reader(html).words
    assert '<a href="tuning/digits/steady/search/trials.csv">' in html
    assert "All trials of" in Reader(page(tuning=[TUNING._replace(trials=many[:200])])).words


def test_figures_of_a_search_stand_with_it_history_and_importance_first() -> None:
    kinds = ["tuning_slice", "tuning_importance", "tuning_intermediate_values", "tuning_history"]
    shown = [figure(kind, caption=f"Caption of {kind}.") for kind in kinds]
    html = section(page(figures=[*shown, figure("tuning_history", "lucky", caption="Of another.")]), "tuning")
    first = ["tuning_history", "tuning_importance", "tuning_intermediate_values", "tuning_slice"]
    assert re.findall(r"Caption of (\w+)\.", html) == first
    assert "Of another." not in html


def test_parameters_that_are_lists_or_mappings_are_written_as_in_json() -> None:
    params = {"head.dense": [64, 32], "freeze": {"before": "stage6"}, "head.dropout": None}
    html = section(page(tuning=[TUNING._replace(best={**TUNING.best, "params": params})]), "tuning")
    assert cells(html, "<code>head.dense") == ["[64, 32]"]
    assert cells(html, "<code>freeze") == ["{&#34;before&#34;: &#34;stage6&#34;}"]
    assert cells(html, "<code>head.dropout") == ["null"]


def test_costs_add_up_by_stage() -> None:
    html = page()
    assert cells(html, "Training") == ["2", "1 min 20 s", "2 min 40 s", "2.0 GiB"]
    assert cells(html, "Tuning") == ["1", "1 h 0 min", "2 h 0 min", "2.0 GiB"]
    assert cells(html.partition('<section id="making"')[2], "Total") == ["3", "1 h 1 min", "2 h 2 min", ""]
    words = Reader(html).words
    assert "Keras backend jax, on CPU" in words
    assert words.count("x86_64, 2 cores, Linux-6.1") == 1
    assert "keras 3.15.0, python 3.11.9" in words


@pytest.mark.parametrize("name", ["steady", "vote"])
@pytest.mark.parametrize("pairs", [None, comparisons(compared("lucky", "vote", "steady"))])
def test_no_figure_is_lost(name: str, pairs: Comparisons | None) -> None:
    kinds = [*LABELS, "a_new_kind"]
    shown = [figure(kind, name, caption=f"Caption of {kind}.") for kind in kinds]
    for tuning in ([TUNING], []):
        words = Reader(page(figures=shown, tuning=tuning, combined=[ensemble()], comparisons=pairs)).words
        assert [words.count(f"Caption of {kind}.") for kind in kinds] == [1] * len(kinds)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.84, "0.8 s"),
        (9.96, "10.0 s"),
        (59.7, "1 min 0 s"),
        (252, "4 min 12 s"),
        (3599.8, "1 h 0 min"),
        (None, text.NOTHING),
    ],
)
def test_durations_have_two_units_at_most(seconds: float | None, expected: str) -> None:
    assert text.duration(seconds).replace(text.SPACE, " ") == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1e-5, "1e-05"),
        (0.123456, "0.1235"),
        (32, "32"),
        (32.0, "32"),
        ("adam", "adam"),
        (True, "True"),
        (float("nan"), text.NOTHING),
    ],
)
def test_numbers_have_four_digits(value: Any, expected: str) -> None:
    assert text.number(value) == expected


@pytest.mark.parametrize(
    ("p", "expected"),
    [(0.0009, "<0.001"), (0.001, "0.001"), (0.0496, "0.050"), (1.0, "1.000"), (NAN, text.NOTHING)],
)
def test_p_values_have_three_decimals(p: float, expected: str) -> None:
    assert text.p_value(p) == expected
