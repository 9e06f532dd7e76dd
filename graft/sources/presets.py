"""Puts the files of a KerasHub preset into a folder: copies a user's own, or fetches published ones."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from graft.errors import UserError
from graft.files import replacing
from graft.presets import FILES, PREFIX, Preset, check_preset, keras_hub, preset_of
from graft.sources.download import Downloads
from graft.sources.remote import Remote
from graft.words import closest


def _copy(source: Path, folder: Path) -> list[Path]:
    check_preset(source)
    for name in FILES:
        try:
            with replacing(folder / name) as beside:
                shutil.copyfile(source / name, beside)
        except OSError as error:
            raise UserError(f"{source / name}: cannot be copied to {folder} ({error.strerror})") from error
    return [folder / name for name in FILES]


def _published(preset: Preset) -> Preset:
    """The preset on Kaggle that one in KerasHub's list is."""
    hub = keras_hub()
    known = hub.models.Backbone.presets
    if preset.handle not in known:
        meant = closest(preset.handle, known)
        hint = f"did you mean {meant!r}?" if meant else "they are listed at keras.io/keras_hub/presets"
        raise UserError(f"architecture: KerasHub {hub.__version__} has no preset {preset.handle!r}; {hint}")
    found = preset_of(PREFIX + known[preset.handle]["kaggle_handle"])
    assert found
    return found


def fetch_preset(
    preset: Preset, folder: Path, mirrors: Sequence[str] = (), say: Callable[[str], None] = print
) -> list[Path]:
    """The paths of the files of a preset, once they are in ``folder`` and have been checked.

    A mirror has them in a folder of the preset's name. Nobody publishes their digests: what arrives first is taken, if
    it is of the right kind.

    Raises:
        UserError: KerasHub is not installed or its list has no such preset; or a file is found nowhere, or is not what
            it should be.
    """
    if preset.folder:
        return _copy(preset.folder, folder)
    mirrors = [f"{mirror.rstrip('/')}/{preset.name}" for mirror in mirrors]
    downloads = Downloads(folder, mirrors, say)
    absent = [name for name in FILES if not (folder / name).is_file()]
    source = _published(preset) if preset.is_listed and absent else preset
    paths = [downloads.get(Remote(name, source.addresses(name) if name in absent else ())) for name in FILES]
    try:
        check_preset(folder)
    except UserError as error:
        raise UserError(f"{error}; delete {folder} to fetch it again") from error
    return paths
