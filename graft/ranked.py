"""Which names can be ranked over which data sets: known from a study alone, before anything has run."""

import itertools
from collections.abc import Collection, Mapping

FEWEST_DATASETS, FEWEST_NAMES = 2, 3


def ranked(names: Mapping[str, Collection[str]]) -> tuple[list[str], list[str]]:
    """The most data sets that have three names in common, and all names that they have in common; both may be empty.

    ``names`` are those on each data set, whose order is kept. Of several choices of as many data sets, it is the one with
    the most names.
    """
    on: dict[str, frozenset[str]] = {
        name: frozenset(dataset for dataset, held in names.items() if name in held)
        for name in dict.fromkeys(itertools.chain(*names.values()))
    }
    choices = {frozenset.intersection(*three): None for three in itertools.combinations(on.values(), FEWEST_NAMES)}
    chosen = max(
        (choice for choice in choices if len(choice) >= FEWEST_DATASETS),
        key=lambda choice: (len(choice), sum(choice <= held for held in on.values())),
        default=None,
    )
    if chosen is None:
        return [], []
    return [dataset for dataset in names if dataset in chosen], [name for name, held in on.items() if chosen <= held]
