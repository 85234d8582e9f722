"""Get what the page docs/browser needs and the repository lacks: the model and the runtime.

python scripts/build_browser_page.py [--model mini] [--folder docs/browser]

It exports the model to FOLDER/model, and gets onnxruntime-web and @huggingface/tokenizers of the
npm registry for FOLDER/runtime. The page reads their names and sizes from FOLDER/files.json. Run it
before `zensical build`.
"""

import argparse
import json
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from latentaudio.export.onnx_folder import export_onnx
from latentaudio.fileio import atomic_directory, atomic_write
from latentaudio.pipeline import load

PACKAGES = {
    "onnxruntime-web@1.30.0": (
        "dist/ort.wasm.min.mjs",
        "dist/ort-wasm-simd-threaded.mjs",
        "dist/ort-wasm-simd-threaded.wasm",
    ),
    "@huggingface/tokenizers@0.2.0": ("dist/tokenizers.min.mjs",),
}
"""Packages of the npm registry, and the files of each that the page needs."""
PRELOADED = ("ort-wasm-simd-threaded.wasm",)
"""Files of the runtime that the page loads itself, with progress."""
MAX_BYTES = 80_000_000


def get_runtime(folder: Path) -> None:
    """Write the files of the packages to a folder."""
    for package, files in PACKAGES.items():
        with tempfile.TemporaryDirectory() as temporary:
            command = ["npm", "pack", "--silent", package, "--pack-destination", temporary]
            subprocess.run(command, check=True)
            [archive] = Path(temporary).iterdir()
            with tarfile.open(archive) as tar:
                for name in files:
                    member = tar.extractfile(f"package/{name}")
                    assert member is not None, f"{package} has no {name}"
                    with (folder / Path(name).name).open("wb") as target:
                        shutil.copyfileobj(member, target)


def main() -> None:
    """Build the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="mini")
    parser.add_argument("--folder", type=Path, default=Path("docs/browser"))
    args = parser.parse_args()
    runtime = args.folder / "runtime"
    model = args.folder / "model"
    for folder in (runtime, model):
        shutil.rmtree(folder, ignore_errors=True)
    with atomic_directory(runtime) as temporary:
        get_runtime(temporary)
    export_onnx(load(args.model, "cpu", "fp32").codec, model)
    sizes = {}
    for path in [*(runtime / name for name in PRELOADED), *sorted(model.iterdir())]:
        sizes[str(path.relative_to(args.folder))] = path.stat().st_size
    with atomic_write(args.folder / "files.json") as temporary:
        temporary.write_text(json.dumps(sizes, indent=1) + "\n")
    total = sum(path.stat().st_size for path in [*runtime.iterdir(), *model.iterdir()])
    print(f"{total / 1e6:.1f} MB in {args.folder}")
    if total > MAX_BYTES:
        raise SystemExit(f"the page is larger than {MAX_BYTES / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
