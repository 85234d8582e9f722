"""`latentaudio download`: a model's files, so that later commands need no network. Refuses to know how they travel."""

from __future__ import annotations

from pathlib import Path

from ..errors import UsageError
from . import screen


def download(name: str, *, to: Path | None = None, json: bool = False, quiet: bool = False) -> None:
    """Fetch a model's files, go on with what was interrupted, and check all of them.

    Parameters
    ----------
    name
        A hub id such as cvssp/audioldm2.
    to
        A folder for them; default: the cache of Hugging Face.
    json
        Print one line of JSON.
    quiet
        Print nothing but what --json asks for.
    """
    from ..weights.hub import check, fetch, fetch_file

    repo, lone = _place(name)
    with screen.bar("downloading", quiet or json) as tick:
        if lone is None:
            folder = fetch(repo, to=to, progress=tick)
        else:
            for file in lone:
                path = fetch_file(repo, file, to=to, progress=tick)
                folder = path.parents[file.count("/")]
        if to is None:
            check(folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    size = sum(path.stat().st_size for path in files)
    if json:
        screen.tell({"name": name, "repository": repo, "folder": folder, "files": len(files), "bytes": size}, as_json=True)
    elif not quiet:
        screen.say(f"{folder}  {len(files)} files, {size / 1e6:.0f} MB")


def _place(name: str) -> tuple[str, list[str] | None]:
    """The repository of a model and its lone files there, None for a diffusers folder.

    The one place for short names: `hub_of` of weights.load, once it is there. Raises UsageError for what is no hub id.
    """
    owner, _, rest = name.partition("/")
    if not owner or not rest or "/" in rest:
        raise UsageError(f"{name!r} is no hub id; they look like owner/repository, such as cvssp/audioldm2")
    return name, None
