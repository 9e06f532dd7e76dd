"""What the images look like: some of each class."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from graft.figures.style import full_width, look, new_figure, shorten, text_scale

MOST_CLASSES = 20
MOST_IMAGES = 8


def _spread(count: int) -> np.ndarray:
    """Positions of at most 20 of ``count`` classes, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, MOST_CLASSES)).round().astype(int))


def pick(labels: np.ndarray, per_class: int, seed: int) -> np.ndarray:
    """Rows of ``per_class`` images (or all, where there are fewer) of each class, class by class, drawn from ``seed``.

    ``labels`` (n,) are class numbers. Of more than 20 classes, 20 that are spread over them are drawn from. The draw
    from one class does not depend on the others.
    """
    classes = np.unique(labels)
    drawn = []
    for label in classes[_spread(len(classes))]:
        rows = np.random.default_rng([seed, int(label)]).permutation(np.flatnonzero(labels == label))
        drawn.append(np.sort(rows[:per_class]))
    return np.concatenate(drawn) if drawn else np.empty(0, dtype=np.int64)


@look()
def sample_grid(images: np.ndarray, names: list[str], title: str) -> tuple[Figure, pd.DataFrame]:
    """One row of up to 8 images for each class, for up to 20 classes.

    ``images`` are uint8 (n, height, width, 3), ``names`` (n,) their class names. The table says what is shown where:
    ``class_name``, ``row``, ``column`` and ``image``, its position in ``images``.
    """
    order = list(dict.fromkeys(names))
    order = [order[k] for k in _spread(len(order))]
    members = {name: [k for k, other in enumerate(names) if other == name][:MOST_IMAGES] for name in order}
    table = pd.DataFrame(
        [(name, r, c, k) for r, name in enumerate(order) for c, k in enumerate(members[name])],
        columns=["class_name", "row", "column", "image"],
    )

    columns = int(table["column"].max()) + 1
    gap = max(1, images.shape[1] // 16)
    height, width = images.shape[1] + gap, images.shape[2] + gap
    canvas = np.full((len(order) * height - gap, columns * width - gap, 3), 255, dtype=np.uint8)
    for row, column, image in table[["row", "column", "image"]].itertuples(index=False):
        top, left = row * height, column * width
        canvas[top : top + height - gap, left : left + width - gap] = images[image]

    shown = [shorten(name) for name in order]
    beside = 0.4 + 0.07 * text_scale() * max(map(len, shown))
    cell = (full_width() - (0.4 + 1.2 * text_scale())) / MOST_IMAGES
    across = min(full_width(), beside + max(columns, 4) * cell)
    figure = new_figure(title, height=0.5 + len(order) * cell * height / width, width=across)
    axes = figure.subplots()
    axes.imshow(canvas, interpolation="auto")
    axes.set_anchor("W")
    centres = np.arange(len(order)) * height + (height - gap - 1) / 2
    axes.set_yticks(centres, shown, parse_math=False)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    return figure, table
