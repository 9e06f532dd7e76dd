"""The card says what the tables say, holds all that it shows, and believes no name."""

import base64
import io
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images

from graft.duplicates import near_hashes
from graft.prepare import Prepared, prepare
from graft.report.card import Examples, Origin, describe, render_card
from graft.sources.base import Images, Sample
from tests.unit.test_report import Reader, cells

ORIGIN = Origin({"name": "digits"}, "squash", "bicubic", "CC BY 4.0", "https://example.org/digits")
NAMES = {
    "script": "<script>alert('$x$')</script>",
    "quotes": "\"both\" & 'kinds'",
    "umlauts": "Größe äöü",
    "newline": "two\nlines",
    "long": "x" * 300,
    "right to left": "مرحبا \N{RIGHT-TO-LEFT OVERRIDE}abc",
}


def found_in(again: int) -> Prepared:
    """scikit-learn's digits, the first of them ``again`` under another class, and a file that is no image."""
    published = load_digits()
    grey = np.round(published.images * (255 / 16)).astype(np.uint8)
    samples = [Sample(f"{k:04}", int(label), grey[k]) for k, label in enumerate(published.target)]
    samples += [Sample(f"again/{k:04}", (int(published.target[k]) + 1) % 10, grey[k]) for k in range(again)]
    return prepare(Images([str(k) for k in range(10)], iter([*samples, Sample("notes.txt", 0, b"text")])), {})


@pytest.fixture(scope="module")
def digits() -> Prepared:
    return found_in(again=0)


@pytest.fixture(scope="module")
def doubled() -> Prepared:
    return found_in(again=20)


def card(found: Prepared, origin: Origin = ORIGIN, **changed: Any) -> str:
    tables = {"index": found.index, "quarantine": found.quarantine} | changed
    if "near" not in tables:
        tables["near"] = near_hashes(tables["index"]["phash"])
    return render_card("digits", origin, **tables, examples=Examples(found.examples, found.thumbnails, found.mean))


def section(html: str, name: str) -> str:
    return html.partition(f'<section id="{name}"')[2].partition("</section>")[0]


def test_equal_values_give_equal_cards(digits: Prepared) -> None:
    assert card(digits) == card(digits)


def test_the_card_of_the_digits(digits: Prepared) -> None:
    html = card(digits)
    words = Reader(html).words
    assert "1,797 images of 10 classes, 8 \N{MULTIPLICATION SIGN} 8 pixels." in words
    assert "<dt>Licence</dt><dd>CC BY 4.0</dd>" in html
    assert "the sides squashed to a square, bicubic interpolation" in words
    published = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]  # as the data set's own description says
    assert [int(cells(html, str(k))[0]) for k in range(10)] == published
    assert "The largest class, 3, has 183 images; the smallest, 8, has 174: a ratio of 1.05." in words
    assert "The source publishes no splits" in words
    assert "1 image, 0.0556 % of all, could not be used." in words
    assert cells(html, "notes.txt") == ["<bdi>0</bdi>", "<bdi>is not an image, whatever its name says</bdi>"]


def test_bars_are_as_long_as_the_classes_are_large(digits: Prepared) -> None:
    html = card(digits)
    widths = [float(width) for width in re.findall(r'style="width: ([\d.]+)%"', html)]
    assert widths == pytest.approx(np.bincount(load_digits().target) / 1.83, abs=0.06)


def test_published_splits_have_columns(digits: Prepared) -> None:
    split = np.where(np.arange(1797) < 1000, "train", "test")
    html = section(card(digits, index=digits.index.assign(split=split)), "classes")
    assert [name for name in ("Train", "Validation", "Test") if f">{name}</span></th>" in html] == ["Train", "Test"]
    train = np.bincount(load_digits().target[:1000])
    assert [int(cells(html, str(k))[0]) for k in range(10)] == train.tolist()
    assert cells(html, "Total")[:3] == ["1,000", "797", "1,797"]
    assert "publishes no splits" not in html


def compared(index: pd.DataFrame) -> dict[str, int]:
    """How many images have copies, from comparing every image with every other."""
    value = np.array([int(text, 16) for text in index["phash"]], dtype=np.uint64)
    pixels, label = index["sha1"].to_numpy(str), index["label"].to_numpy()
    exact = (pixels[:, None] == pixels) & ~np.eye(len(index), dtype=bool)
    near = (np.bitwise_count(value[:, None] ^ value) <= 4) & (pixels[:, None] != pixels)
    other = label[:, None] != label
    found = {"exact": exact, "exact_differ": exact & other, "near": near, "near_differ": near & other}
    return {name: int(pairs.any(axis=1).sum()) for name, pairs in found.items()}


@pytest.mark.parametrize("labels", ["published", "row by row", "one for all"])
def test_copies_are_those_that_comparing_every_pair_finds(doubled: Prepared, labels: str) -> None:
    index = doubled.index.copy()
    if labels != "published":
        index = index.assign(label=np.arange(len(index)) % 3 if labels == "row by row" else 0)
        index["class_name"] = index["label"].astype(str)
    # Other pixels of the same hash, too, of which the digits have none.
    index["phash"] = index["phash"].where(index.index // 2 * 2 >= 200, index["phash"].to_numpy()[index.index // 2 * 2])
    index["phash"] = index.groupby("sha1")["phash"].transform("first")
    copies = describe(index, near_hashes(index["phash"]), doubled.quarantine)["copies"]
    expected = compared(index)
    assert {name: copies[name] for name in expected} == expected
    assert expected["exact"] == 40
    assert expected["near"] > 200
    assert all(len({name for _, name in group["images"]}) > 1 for group in copies["groups"])


def test_pairs_with_an_image_that_is_not_there_count_for_nothing(digits: Prepared) -> None:
    near = near_hashes(digits.index["phash"])
    pair = digits.index["phash"].isin(near.loc[0])
    assert pair.sum() >= 2
    alone = pd.concat([digits.index[~digits.index["phash"].isin(near.to_numpy().ravel())], digits.index[pair][:1]])
    assert describe(alone, near, digits.quarantine)["copies"]["near"] == 0


def test_copies_whose_classes_differ_are_listed_with_source_and_class(doubled: Prepared) -> None:
    html = section(card(doubled), "copies")
    assert cells(html, "Exact") == ["40", "40"]
    group = html.partition("<tbody")[2].partition('<tbody class="together">')[2].partition("</tbody>")[0]
    assert re.findall(r"<bdi>(.*?)</bdi>", group) == ["0000", "0", "again/0000", "1"]
    assert "The first 20 groups" in html.replace("\N{NO-BREAK SPACE}", " ")
    assert html.count('class="together"') == 20


def test_of_a_large_group_a_few_images_of_each_class_are_listed(digits: Prepared) -> None:
    same = digits.index[:100].assign(sha1="a", phash="b" * 16, class_name="many", label=0)
    same.loc[99, ["class_name", "label"]] = ["one", 1]
    html = section(card(digits, index=pd.concat([same, digits.index[100:1797]])), "copies")
    names = re.findall(r"<bdi>(.*?)</bdi>", html)[1::2]
    assert sorted(names) == ["many"] * 5 + ["one"]
    assert "and 94 more" in html


def test_data_without_copies_says_so_and_names_what_was_not_looked_for(digits: Prepared) -> None:
    none = near_hashes(pd.Series([], dtype=str))
    alone = digits.index.drop_duplicates("phash")
    alone = alone[~alone["phash"].isin(near_hashes(alone["phash"]).to_numpy().ravel())]
    copies = describe(alone, none, digits.quarantine)["copies"]
    assert (len(alone) > 1600, copies["exact"], copies["near"], copies["groups"]) == (True, 0, 0, [])
    words = Reader(card(digits, index=digits.index.assign(phash=""), near=none)).words
    assert "No two images have equal pixels. Near copies were not looked for." in words


def test_images_of_different_sizes_have_their_sizes_described() -> None:
    photo = load_sample_images().images[0]
    sides = [(100, 300), (60, 50), (61, 50), (427, 640), (200, 100)]
    samples = [Sample(str(k), k % 2, np.ascontiguousarray(photo[:h, :w])) for k, (h, w) in enumerate(sides)]
    html = card(prepare(Images(["even", "odd"], iter(samples)), {}))
    words = Reader(html).words.replace("\N{MULTIPLICATION SIGN}", "x")
    assert "The smallest image has 50 x 60 pixels, the median one 100 x 200, and the largest 640 x 427." in words
    assert "Width, 19 pixels a bar; the highest bar is 2 images." in words
    tops = re.findall(r"V([\d.]+)h1", section(html, "sizes").partition("</svg>")[0])
    assert [100 - float(top) for top in tops if float(top) < 100] == [
        100,
        50,
        50,
        50,
    ]  # widths 50 and 50, 100, 300, 640


def test_thumbnails_are_inside_in_a_row_for_each_class(digits: Prepared) -> None:
    html = card(digits)
    pictures = [str(image["src"]) for image in Reader(html).of("img")]
    assert len(pictures) == 11  # ten classes and the mean image
    rows = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(text.removeprefix("data:image/webp;base64,")))))
        for text in pictures
    ]
    assert {row.shape for row in rows[:10]} == {(64, 8 * 64 + 7 * 4, 4)}
    members = np.flatnonzero(digits.index["label"].to_numpy()[digits.examples] == 3)
    for k, member in enumerate(members):
        shown = rows[3][:, 68 * k : 68 * k + 64, :3].astype(int)
        assert np.abs(shown - digits.thumbnails[member]).mean() < 8
        assert rows[3][:, 68 * k + 64 : 68 * k + 68, 3].sum() == 0
    assert np.abs(rows[10].astype(int) - digits.mean).mean() < 8


def test_two_hundred_classes_fold_and_stay_small(digits: Prepared) -> None:
    photo = load_sample_images().images[1]
    crops = [photo[y : y + 64, x : x + 64] for y in range(0, 360, 20) for x in range(0, 570, 20)][:160]
    index = digits.index.assign(label=np.sort(np.arange(1797) % 200))
    index["class_name"] = "class " + index["label"].astype(str)
    rows = np.flatnonzero(index["label"] % 10 == 5)[:160]
    examples = Examples(rows, np.stack(crops), crops[0])
    html = render_card("digits", ORIGIN, index, near_hashes(index["phash"]), digits.quarantine, examples)
    assert len(html) < 700_000
    folded = section(html, "classes").partition("<details>")[2].partition("</details>")[0]
    assert "Each of the 200 classes" in folded
    assert folded.count('<th scope="row" class="name">') == 200
    assert "(and 196 others), has 9 images; the smallest, class 197 (and 2 others), has 8" in Reader(html).words
    tops = re.findall(r"V([\d.]+)h1", section(html, "classes"))
    assert len(tops) == 200
    assert sorted(tops, key=float) == tops


def test_of_many_unusable_images_fifty_are_listed(digits: Prepared) -> None:
    html = card(digits, quarantine=pd.concat([digits.quarantine] * 203))
    assert html.count("notes.txt") == 50
    assert 'And 153 more in <a href="quarantine.csv">' in html
    assert "Every image of the source could be used." in card(digits, quarantine=digits.quarantine[:0])


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_names_are_escaped_wherever_they_stand(doubled: Prepared, name: str) -> None:
    index = doubled.index.assign(class_name=doubled.index["class_name"] + name, source=doubled.index["source"] + name)
    quarantine = doubled.quarantine.assign(source=name, class_name=name, reason=name)
    origin = Origin({"name": "folder", "path": name}, "crop", "nearest", name, None)
    read = Reader(card(doubled, origin, index=index, quarantine=quarantine))
    assert not {"script", "img src=x", "iframe"} & {tag for tag, _ in read.tags}
    assert not [key for _, attributes in read.tags for key in attributes if key.startswith("on")]
    assert read.words.count(" ".join(name.split())) > 50
    alternatives = [str(image["alt"]) for image in read.of("img")]
    assert sum(name in text for text in alternatives) == 10


def test_nothing_is_fetched(digits: Prepared) -> None:
    html = card(digits)
    assert "Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\"" in html
    assert not re.search(r"url\(|@import|<script", html)
    read = Reader(html)
    assert all(str(image["src"]).startswith("data:image/webp;base64,") for image in read.of("img"))
    assert {str(link["href"]) for link in read.of("link")} == {"data:,"}
    away = [str(link["href"]) for link in read.of("a") if not str(link["href"]).startswith("#")]
    assert away == ["https://example.org/digits"]


@pytest.mark.parametrize("page", [None, "javascript:alert(1)", "file:///etc/passwd"])
def test_only_web_addresses_become_links(digits: Prepared, page: str | None) -> None:
    html = card(digits, ORIGIN._replace(page=page, licence=None))
    assert "Published at" not in html
    assert "not known to Graft" in html


def test_every_part_of_the_card_can_be_reached_and_read_without_seeing_it(digits: Prepared) -> None:
    read = Reader(card(digits))
    ids = {str(attributes["id"]) for _, attributes in read.tags if "id" in attributes}
    targets = {str(link["href"])[1:] for link in read.of("a") if str(link["href"]).startswith("#")}
    assert targets == {"samples", "classes", "sizes", "copies", "quarantine"}
    assert targets <= ids
    assert all(image["alt"] and image["width"] and image["height"] for image in read.of("img"))
    assert all(header.get("scope") for header in read.of("th"))
    assert [tag for tag, _ in read.tags].count("h1") == 1
