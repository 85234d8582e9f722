"""Split the files of a folder into shards that are small enough to transfer, and join them again.

python scripts/gpu/shards.py split runs/gpu/exported OUT
python scripts/gpu/shards.py join OUT src/latentaudio/assets/mini
"""

import sys
from pathlib import Path

SHARD_BYTES = 15 * 2**20


def split(source: Path, target: Path) -> None:
    """Write every file of `source` as `name.000`, `name.001`, ... of at most 15 MiB."""
    target.mkdir(parents=True, exist_ok=True)
    for file in sorted(path for path in source.iterdir() if path.is_file()):
        data = file.read_bytes()
        for number, start in enumerate(range(0, len(data), SHARD_BYTES)):
            shard = target / f"{file.name}.{number:03}"
            shard.write_bytes(data[start : start + SHARD_BYTES])


def join(source: Path, target: Path) -> None:
    """Undo `split`."""
    target.mkdir(parents=True, exist_ok=True)
    for name in sorted({path.stem for path in source.glob("*.[0-9][0-9][0-9]")}):
        shards = sorted(source.glob(f"{name}.[0-9][0-9][0-9]"))
        (target / name).write_bytes(b"".join(shard.read_bytes() for shard in shards))


if __name__ == "__main__":
    {"split": split, "join": join}[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
