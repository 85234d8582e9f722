"""Libraries that can run the denoiser instead of torch. Torch-free.

Adding one is a row here, a file in `backends`, and an extra in `pyproject.toml`.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

from ..errors import UsageError
from .extras import install_command
from .reference import ReferenceBehavior

TORCH = "torch"
_CONVERSION = ("onnx", "onnxscript")
"""Packages that convert a network."""


@dataclass(frozen=True)
class BackendSpec:
    """One library.

    Attributes:
        packages: What it imports, first the package that computes. The extra that installs them has
            the name of the backend.
        file: File in `backends`, without `.py`; "": torch itself.
        precisions: Values of `precision` that it has.
        bytes_per_weight: Memory for each weight of the UNet, mapped files included, and with two
            compiled sets of shapes; 0: that of the number format.
    """

    packages: tuple[str, ...]
    file: str
    precisions: tuple[str, ...]
    bytes_per_weight: int = 0


BACKENDS: dict[str, BackendSpec] = {
    TORCH: BackendSpec((TORCH,), "", ("auto", "bf16", "fp32", "int8")),
    "openvino": BackendSpec(("openvino", *_CONVERSION), "openvino", ("auto", "bf16", "fp32"), 12),
    "onnxruntime": BackendSpec(("onnxruntime", *_CONVERSION), "onnxruntime", ("auto", "fp32"), 4),
}
"""Every backend by name; the first one is the default."""


def check_backend(
    name: str,
    device: str,
    precision: str,
    reference: ReferenceBehavior | None = None,
    has_adapters: bool = False,
) -> None:
    """Raise `UsageError` if a backend cannot run here; nothing is imported.

    Args:
        name: The backend.
        device: Device of the request, such as "auto".
        precision: Precision of the request, such as "auto".
        reference: The implementation that is imitated; None: clean.
        has_adapters: Whether the request has adapters.
    """
    if name not in BACKENDS:
        raise UsageError(f"backend = {name!r} must be one of: {', '.join(BACKENDS)}")
    if name == TORCH:
        return
    spec = BACKENDS[name]
    if device not in ("auto", "cpu"):
        raise UsageError(
            f"backend {name} computes on a CPU, not on {device}; choose device cpu, or "
            "backend torch"
        )
    if precision not in spec.precisions:
        raise UsageError(
            f"backend {name} has no precision {precision!r}; choose one of: "
            f"{', '.join(spec.precisions)}, or backend torch"
        )
    if reference is not None and reference.latent_rounding == "vae":
        raise UsageError(
            f"backend {name} cannot imitate reference {reference.name}; choose reference clean or "
            "original, or backend torch"
        )
    if has_adapters:
        raise_on_adapters(name)
    missing = missing_packages(name)
    if missing:
        raise UsageError(
            f"backend {name} needs {' and '.join(missing)}; run: {install_command(name)}"
        )


def missing_packages(name: str) -> list[str]:
    """Return the packages of a backend that are not installed."""
    return [package for package in BACKENDS[name].packages if find_spec(package) is None]


def raise_on_adapters(name: str) -> None:
    """Say that a backend runs no adapters.

    Raises:
        UsageError: Always.
    """
    raise UsageError(
        f"backend {name} runs the weights of a model's files, without adapters; choose backend "
        "torch, or write the model with its adapters to a folder (latentaudio convert --adapter)"
    )
