"""Small copies of published data sets: real images, written in exactly the formats in which the originals are."""

import gzip
import hashlib
import io
import struct
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images


class Labelled(NamedTuple):
    """Images, uint8 (n, height, width, 3) or (n, height, width), and their labels (n,)."""

    images: np.ndarray
    labels: np.ndarray

    def part(self, start: int, stop: int) -> "Labelled":
        return Labelled(self.images[start:stop], self.labels[start:stop])


# -- real images ---------------------------------------------------------------------------------------------------------


@cache
def digits(size: int, count: int = 1797) -> Labelled:
    """The first of scikit-learn's handwritten digits, grey, enlarged to uint8 (count, size, size), and their values."""
    published = load_digits()
    grey = np.round(published.images[:count] * (255 / 16)).astype(np.uint8)
    images = [np.asarray(Image.fromarray(image).resize((size, size))) for image in grey]
    return Labelled(np.stack(images), published.target[:count])


@cache
def crops(size: int, count: int, classes: int) -> Labelled:
    """Different squares of scikit-learn's two colour photographs, uint8 (count, size, size, 3), labelled in turn."""
    corners = ((photo, y, x) for y in range(0, 427 - size, 16) for x in range(0, 640 - size, 16) for photo in (0, 1))
    photos = load_sample_images().images
    images = [
        photos[photo][y : y + size, x : x + size] for (photo, y, x), _ in zip(corners, range(count), strict=False)
    ]
    assert len(images) == count
    return Labelled(np.stack(images), np.arange(count) % classes)


def encoded(image: np.ndarray, kind: str) -> bytes:
    """An image as the bytes of a file."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind)
    return file.getvalue()


# -- archives ------------------------------------------------------------------------------------------------------------


def tar_gz(path: Path, members: Mapping[str, bytes]) -> Path:
    """A gzipped tar with these files, in this order."""
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def zipped(path: Path, members: Mapping[str, bytes]) -> Path:
    """A zip with these files, in this order."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


# -- CIFAR: pickles of Python 2 ------------------------------------------------------------------------------------------


class _Python2Pickler:
    """Protocol 2 as Python 2's cPickle writes it, which counts its memo from 1, and text as byte strings."""

    def __init__(self, fortran: bool) -> None:
        self.memo: dict[bytes, int] = {}
        self.count = 0
        self.order = "F" if fortran else "C"

    def put(self) -> bytes:
        self.count += 1
        return b"q" + bytes([self.count]) if self.count < 256 else b"r" + struct.pack("<I", self.count)

    def whole(self, value: int) -> bytes:
        if 0 <= value < 256:
            return b"K" + bytes([value])
        return b"M" + struct.pack("<H", value) if 0 <= value < 65536 else b"J" + struct.pack("<i", value)

    def string(self, value: bytes) -> bytes:
        return (b"U" + bytes([len(value)]) if len(value) < 256 else b"T" + struct.pack("<i", len(value))) + value

    def items(self, values: Sequence[Any]) -> bytes:
        batches = [values[start : start + 1000] for start in range(0, len(values), 1000)]
        written = (b"".join(map(self.save, batch)) for batch in batches)
        return b"".join(
            data + b"a" if len(batch) == 1 else b"(" + data + b"e" for batch, data in zip(batches, written, strict=True)
        )

    def name(self, module: str, attribute: str) -> bytes:
        return f"c{module}\n{attribute}\n".encode() + self.put()

    def array(self, value: np.ndarray) -> bytes:
        made = self.name("numpy.core.multiarray", "_reconstruct") + self.name("numpy", "ndarray")
        made += b"K\x00\x85" + self.string(b"b") + b"\x87R" + self.put()
        shape = b"".join(self.whole(size) for size in value.shape) + (b"\x86" if value.ndim == 2 else b"\x85")
        kind = self.name("numpy", "dtype") + self.string(value.dtype.str[1:].encode()) + b"K\x00K\x01\x87R" + self.put()
        kind += b"(K\x03" + self.string(value.dtype.str[:1].encode()) + b"NNN" + 2 * self.whole(-1) + b"K\x00tb"
        flag = b"\x88" if self.order == "F" else b"\x89"
        return made + b"(K\x01" + shape + kind + flag + self.string(value.tobytes(self.order)) + b"tb"  # type: ignore[arg-type]

    def save(self, value: Any) -> bytes:
        match value:
            case dict():
                start = b"}" + self.put() + b"("
                return start + b"".join(self.save(key) + self.save(value[key]) for key in value) + b"u"
            case list():
                return b"]" + self.put() + self.items(value)
            case bytes():
                return self.string(value) + self.put()
            case np.ndarray():
                return self.array(value)
            case None:
                return b"N"
        return self.whole(int(value))


def python2_pickle(value: Any, fortran: bool = False) -> bytes:
    """Dictionaries, lists, byte strings, whole numbers and arrays, as the files of CIFAR hold them."""
    return b"\x80\x02" + _Python2Pickler(fortran).save(value) + b"."


CIFAR10_CLASSES = b"airplane automobile bird cat deer dog frog horse ship truck".split()
CIFAR10_META = {b"num_cases_per_batch": 10000, b"label_names": CIFAR10_CLASSES, b"num_vis": 3072}

CIFAR100_FINE = b"""
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
    caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish
    forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle
    mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
    possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
    sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle wardrobe whale
    willow_tree wolf woman worm
""".split()
CIFAR100_COARSE = b"""
    aquatic_mammals fish flowers food_containers fruit_and_vegetables household_electrical_devices household_furniture
    insects large_carnivores large_man-made_outdoor_things large_natural_outdoor_scenes large_omnivores_and_herbivores
    medium_mammals non-insect_invertebrates people reptiles small_mammals trees vehicles_1 vehicles_2
""".split()
CIFAR100_COARSE_OF_FINE = [
    *(
        4,
        1,
        14,
        8,
        0,
        6,
        7,
        7,
        18,
        3,
        3,
        14,
        9,
        18,
        7,
        11,
        3,
        9,
        7,
        11,
        6,
        11,
        5,
        10,
        7,
        6,
        13,
        15,
        3,
        15,
        0,
        11,
        1,
        10,
    ),
    *(
        12,
        14,
        16,
        9,
        11,
        5,
        5,
        19,
        8,
        8,
        15,
        13,
        14,
        17,
        18,
        10,
        16,
        4,
        17,
        4,
        2,
        0,
        17,
        4,
        18,
        17,
        10,
        3,
        2,
        12,
        12,
        16,
    ),
    *(
        12,
        1,
        9,
        19,
        2,
        10,
        0,
        1,
        16,
        12,
        9,
        13,
        15,
        13,
        16,
        19,
        2,
        4,
        6,
        19,
        5,
        5,
        8,
        19,
        18,
        1,
        2,
        15,
        6,
        0,
        17,
        8,
        14,
    ),
    13,
]
CIFAR100_META = {b"fine_label_names": CIFAR100_FINE, b"coarse_label_names": CIFAR100_COARSE}


def _colour(images: np.ndarray) -> np.ndarray:
    return images if images.ndim == 4 else np.repeat(images[..., None], 3, axis=3)


def cifar_batch(label: str, batch: Labelled, classes: Sequence[bytes], **labels: Sequence[int]) -> dict[bytes, Any]:
    """What the pickle of a batch holds; file names are numbered within each class, as those published are."""
    rows = np.ascontiguousarray(_colour(batch.images).transpose(0, 3, 1, 2)).reshape(len(batch.images), 3072)
    names = [b"%s_s_%06d.png" % (classes[value], row // len(classes)) for row, value in enumerate(batch.labels)]
    lists = {key.encode(): [int(value) for value in values] for key, values in labels.items()}
    return {b"batch_label": label.encode(), **lists, b"data": rows, b"filenames": names}


def cifar10_members(train: Labelled, test: Labelled) -> dict[str, bytes]:
    """The files of the archive, in its order; the training images, (n, 32, 32) or with colours, fill five batches."""
    size = -(-len(train.images) // 5)
    batches = {f"data_batch_{k}": train.part((k - 1) * size, k * size) for k in range(1, 6)} | {"test_batch": test}
    titles = {name: f"training batch {name[-1]} of 5" for name in batches} | {"test_batch": "testing batch 1 of 1"}
    tables = {
        name: cifar_batch(titles[name], batch, CIFAR10_CLASSES, labels=batch.labels.tolist())
        for name, batch in batches.items()
    }
    files = {"batches.meta": python2_pickle(CIFAR10_META)}
    for name in ("data_batch_4", "readme.html", "test_batch", *(f"data_batch_{k}" for k in (3, 2, 5, 1))):
        files[name] = python2_pickle(tables[name]) if name in tables else b'<meta HTTP-EQUIV="REFRESH" content="0">\n'
    return {f"cifar-10-batches-py/{name}": data for name, data in files.items()}


def cifar10(folder: Path, train: Labelled, test: Labelled) -> Path:
    """A ``cifar-10-python.tar.gz``."""
    return tar_gz(folder / "cifar-10-python.tar.gz", cifar10_members(train, test))


def cifar100_members(train: Labelled, test: Labelled) -> dict[str, bytes]:
    """The files of the archive, in its order; labels are the fine ones."""
    files = {"file.txt~": b"", "meta": python2_pickle(CIFAR100_META)}
    for name, batch, title in (("train", train, "training batch 1 of 1"), ("test", test, "testing batch 1 of 1")):
        coarse = [CIFAR100_COARSE_OF_FINE[label] for label in batch.labels]
        table = cifar_batch(title, batch, CIFAR100_FINE, fine_labels=batch.labels.tolist(), coarse_labels=coarse)
        files[name] = python2_pickle(table)
    return {f"cifar-100-python/{name}": files[name] for name in ("file.txt~", "train", "test", "meta")}


def cifar100(folder: Path, train: Labelled, test: Labelled) -> Path:
    """A ``cifar-100-python.tar.gz``."""
    return tar_gz(folder / "cifar-100-python.tar.gz", cifar100_members(train, test))


# -- MNIST and Fashion-MNIST: IDX ----------------------------------------------------------------------------------------

IDX_FILES = [
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
]


def idx_bytes(array: np.ndarray) -> bytes:
    """An array of bytes as IDX, not compressed."""
    head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(np.uint8).tobytes()


def idx(folder: Path, train: Labelled, test: Labelled) -> list[Path]:
    """The four files of MNIST or Fashion-MNIST, of images (n, 28, 28)."""
    arrays = [train.images, train.labels, test.images, test.labels]
    for name, array in zip(IDX_FILES, arrays, strict=True):
        (folder / name).write_bytes(gzip.compress(idx_bytes(array), mtime=0))
    return [folder / name for name in IDX_FILES]


# -- Tiny ImageNet -------------------------------------------------------------------------------------------------------

# Lines of words.txt as published, with the two classes of the full ImageNet that share a first synonym.
WORDS = {
    "n01443537": "goldfish, Carassius auratus",
    "n01629819": "European fire salamander, Salamandra salamandra",
    "n02012849": "crane",
    "n02124075": "Egyptian cat",
    "n03126707": "crane",
    "n04596742": "wok",
}


def tiny_imagenet_members(
    train: Labelled, test: Labelled, words: Mapping[str, str] = WORDS, unlabelled: int = 2
) -> dict[str, bytes]:
    """The files of the archive, of colour images (n, 64, 64, 3); labels are positions in ``words``, sorted."""
    wnids, files = sorted(words), {}
    boxes, lines = dict.fromkeys(wnids, ""), ""
    for row, (image, label) in enumerate(zip(*train, strict=True)):
        wnid, file = wnids[label], f"{wnids[label]}_{row}.JPEG"
        files[f"train/{wnid}/images/{file}"] = encoded(image, "JPEG")
        boxes[wnid] += f"{file}\t0\t10\t63\t58\n"
    for row, (image, label) in enumerate(zip(*test, strict=True)):
        files[f"val/images/val_{row}.JPEG"] = encoded(image, "JPEG")
        lines += f"val_{row}.JPEG\t{wnids[label]}\t0\t32\t44\t62\n"
    texts = {"wnids.txt": "\n".join(wnids[::-1]) + "\n", "val/val_annotations.txt": lines}
    texts["words.txt"] = "n00001740\tentity\n" + "".join(f"{wnid}\t{text}\n" for wnid, text in words.items())
    texts |= {f"train/{wnid}/{wnid}_boxes.txt": text for wnid, text in boxes.items()}
    files |= {f"test/images/test_{row}.JPEG": encoded(test.images[row], "JPEG") for row in range(unlabelled)}
    files |= {name: text.encode() for name, text in texts.items()}
    return {f"tiny-imagenet-200/{name}": data for name, data in files.items()}


def tiny_imagenet(folder: Path, train: Labelled, test: Labelled) -> Path:
    """A ``tiny-imagenet-200.zip``."""
    return zipped(folder / "tiny-imagenet-200.zip", tiny_imagenet_members(train, test))


# -- ELPV ----------------------------------------------------------------------------------------------------------------

ELPV_PROBABILITIES = ["0.0", "0.3333333333333333", "0.6666666666666666", "1.0"]


def elpv_package(folder: Path, cells: Labelled) -> Path:
    """The package elpv_dataset in ``folder``, with grey images (n, 300, 300); labels are thirds of a probability."""
    data = folder / "elpv_dataset" / "data"
    (data / "images").mkdir(parents=True)
    (data.parent / "__init__.py").write_text("")
    lines = []
    for number, (image, label) in enumerate(zip(*cells, strict=True), 1):
        name = f"images/cell{number:04}.png"
        (data / name).write_bytes(encoded(image, "PNG"))
        lines.append(f"{name}  {ELPV_PROBABILITIES[label]:<18}  {'mono' if number % 2 else 'poly'}\n")
    (data / "labels.csv").write_text("".join(lines))
    return data


def elpv_digest(data: Path) -> str:
    """The digest over the files in the package's data folder, as ``sha256sum`` and ``sort`` would list them."""
    found = [data / "labels.csv", *(data / "images").iterdir()]
    lines = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(data).as_posix()}\n" for file in found
    ]
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()
