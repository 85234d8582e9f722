"""Pre-encoding for a model by itself, so that a later training beside it starts at once."""

from __future__ import annotations

from pathlib import Path

from ..config.kernel_cache import KERNELS_OF_SMALL, keep_kernels
from ..config.registry import get_model_spec
from ..data.manifest import DataSources
from ..errors import DataError
from ..fileio import temporary_directory
from ..loaders.model_folder import write_config
from .initial_components import initial_config, resolve_initial_model
from .pre_encode import FOLDER_NAME, Progress, pre_encode


def encode_for_model(
    data: DataSources,
    model: str,
    init_from: tuple[str | Path, ...],
    runs_folder: Path,
    progress: Progress | None = None,
) -> Path:
    """Return the folder of data that is pre-encoded as a training would do it.

    Args:
        data: Folders, files, tars or hub ids.
        model: Name of the model whose architecture is trained, as in a recipe.
        init_from: Models, or components of them, that the training will build on.
        runs_folder: Folder that will hold the folders of the runs.
        progress: Called while clips are encoded.

    Raises:
        UsageError: There is no such model.
        DataError: There is no such data, or the folder cannot be written.
        ConfigError: The model lacks a component that training needs.
    """
    if not get_model_spec(model).is_published:
        keep_kernels(KERNELS_OF_SMALL)
    try:
        with temporary_directory(runs_folder) as temporary:
            model_folder = temporary / "model"
            model_folder.mkdir()
            initial_models = [resolve_initial_model(source, model) for source in init_from]
            for initial in initial_models:
                initial.copy_into(model_folder)
            config = initial_config(model, initial_models)
            write_config(model_folder, config, model)
            return pre_encode(data, model_folder, config, progress, runs_folder / FOLDER_NAME)
    except OSError as error:
        raise DataError(
            f"cannot write {runs_folder} ({error.strerror or error}); choose another --output"
        ) from None
