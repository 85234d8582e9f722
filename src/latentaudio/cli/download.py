"""`latentaudio download`: a model's files, so that later commands need no network. Refuses to know how they travel."""

from __future__ import annotations

from pathlib import Path

from . import console


def download(name: str, *, to: Path | None = None, json: bool = False, quiet: bool = False) -> None:
    """Fetch a model's files, go on with what was interrupted, and check all of them.

    Parameters
    ----------
    name
        A model's name (see latentaudio models) or a hub id such as cvssp/audioldm2.
    to
        A folder for them; default: the cache of Hugging Face.
    json
        Print one line of JSON.
    quiet
        Print nothing but what --json asks for.
    """
    from ..loaders.hub import check, fetch
    from ..loaders.resolve import hub_of

    repo, lone = hub_of(name)
    with console.bar("downloading", quiet or json) as tick:
        folder = fetch(repo, None if lone is None else [lone], to=to, progress=tick)
        if to is None:
            check(folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    size = sum(path.stat().st_size for path in files)
    if json:
        console.tell(
            {
                "name": name,
                "repository": repo,
                "folder": folder,
                "files": len(files),
                "bytes": size,
            },
            as_json=True,
        )
    elif not quiet:
        console.say(f"{folder}  {len(files)} files, {size / 1e6:.0f} MB")
