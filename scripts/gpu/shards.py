"""Split the files of a folder into pieces small enough to carry, and join them again.

python gpu/shards.py split runs/gpu/packed OUT
python gpu/shards.py join OUT src/latentaudio/assets/mini
"""

import sys
from pathlib import Path

PIECE = 15 * 2**20


def split(folder: Path, target: Path) -> None:
    """Write every file of `folder` as `name.000`, `name.001`, ... of at most 15 MiB."""
    target.mkdir(parents=True, exist_ok=True)
    for file in sorted(p for p in folder.iterdir() if p.is_file()):
        data = file.read_bytes()
        for number, start in enumerate(range(0, len(data), PIECE)):
            (target / f"{file.name}.{number:03}").write_bytes(data[start : start + PIECE])


def join(folder: Path, target: Path) -> None:
    """The inverse of `split`."""
    target.mkdir(parents=True, exist_ok=True)
    for name in sorted({p.stem for p in folder.glob("*.[0-9][0-9][0-9]")}):
        pieces = sorted(folder.glob(f"{name}.[0-9][0-9][0-9]"))
        (target / name).write_bytes(b"".join(piece.read_bytes() for piece in pieces))


if __name__ == "__main__":
    {"split": split, "join": join}[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
