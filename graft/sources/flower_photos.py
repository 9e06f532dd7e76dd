"""Flower photos: 3,670 photographs of five kinds of flowers, published as a tar archive without splits.

The TensorFlow Team: Flowers (2019), http://download.tensorflow.org/example_images/flower_photos.tgz; CC BY, with the
photographers in the archive's LICENSE.txt.
"""

from graft.registry import part
from graft.sources.base import Sha256, Source
from graft.sources.folder import ImageArchive
from graft.sources.remote import Remote

ARCHIVE = Remote(
    "flower_photos.tgz",
    ("https://storage.googleapis.com/download.tensorflow.org/example_images/flower_photos.tgz",),
    ("4c54ace7911aaffe13a365c34f650e71dd5bf1be0a58b464e5a7183e3e595d9c",),
    228_813_984,
)


@part(
    "flower_photos",
    splits=(),
    licence="CC BY 2.0, photographers in its LICENSE.txt",
    page="https://www.tensorflow.org/datasets/catalog/tf_flowers",
)
def flower_photos(*, sha256: Sha256 | None = None) -> Source:
    """Daisies, dandelions, roses, sunflowers and tulips; ``sha256`` is that of another archive of this layout."""
    return ImageArchive(ARCHIVE.with_sha256(sha256))
