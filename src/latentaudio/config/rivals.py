"""Other implementations that the benchmark races. Torch-free.

Adding one is a row here and a file in `benchmark/rivals`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RivalSpec:
    """One implementation.

    Attributes:
        file: File in `benchmark/rivals`, without `.py`.
        packages: Packages that it imports.
        variants: Its columns: number formats that are raced, each in a process of its own.
        holds: How it obeys an instruction set, for the note below a table.
        needs_pipeline: Whether it only has models with the parts of the published AudioLDM 2.
    """

    file: str
    packages: tuple[str, ...]
    variants: tuple[str, ...]
    holds: str
    needs_pipeline: bool = False


OURS = "latentaudio"

RIVALS: dict[str, RivalSpec] = {
    OURS: RivalSpec("ours", (), ("float32", "default", "int8"), "by variables of torch and oneDNN"),
    "diffusers": RivalSpec(
        "diffusers_rival",
        ("diffusers",),
        ("float32",),
        "by variables of torch and oneDNN",
        needs_pipeline=True,
    ),
    "openvino": RivalSpec(
        "openvino_rival",
        ("openvino", "nncf"),
        ("float32", "default", "int8"),
        "by variables of OpenVINO and oneDNN",
    ),
    "onnxruntime": RivalSpec(
        "onnxruntime_rival",
        ("onnxruntime", "onnx", "onnxscript"),
        ("float32", "int8"),
        "not at all: it uses AVX-512, so its time is a lower bound of its time there",
    ),
}
"""Every implementation by name; the first one is this package, which always takes part."""
