"""`latentaudio download`: the files of a model, so that later commands need no network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from . import console
from .flags import JSONRecordFlag, QuietFlag


def download(
    name: Annotated[
        str, Parameter(help="Model name (see latentaudio models) or hub id: cvssp/audioldm2.")
    ],
    *,
    to: Annotated[
        Path | None, Parameter(help="Folder for the files. Default: the Hugging Face cache.")
    ] = None,
    json: JSONRecordFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Download the files of a model, resume what was interrupted, and verify all of them."""
    from ..loaders.hub import check_snapshot, fetch
    from ..loaders.resolve import hub_location

    repository, single_file = hub_location(name)
    patterns = None if single_file is None else [single_file]
    with console.progress_bar("downloading", quiet or json) as tick:
        folder = fetch(repository, patterns, to=to, progress=tick)
        if to is None:
            check_snapshot(folder)
    files = [path for path in folder.rglob("*") if path.is_file()]
    num_bytes = sum(path.stat().st_size for path in files)
    if json:
        record = {
            "name": name,
            "repository": repository,
            "folder": folder,
            "files": len(files),
            "bytes": num_bytes,
        }
        console.print_record(record, as_json=True)
    elif not quiet:
        console.print_result(f"{folder}  {len(files)} files, {num_bytes / 1e6:.0f} MB")
