"""`latentaudio export`: a model for programs without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from . import console
from .flags import JSONRecordFlag, QuietFlag


def export(
    source: Annotated[
        str, Parameter(help="mini, or a model folder with the same architecture, as for --model.")
    ],
    target: Annotated[Path, Parameter(help="New folder.")],
    *,
    format: Annotated[
        Literal["onnx"], Parameter(help="onnx: one ONNX file for each network.")
    ] = "onnx",
    duration: Annotated[
        float | None,
        Parameter(
            help="The only duration that the files take, in seconds. Default: any, up to one "
            "window (mini: 10.24 s).",
            show_default=False,
        ),
    ] = None,
    weights: Annotated[
        Literal["compact", "float32"],
        Parameter(help="compact (8 and 16 bits, as mini is stored) or float32 (2.4 times larger)."),
    ] = "compact",
    json: JSONRecordFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Write a model as ONNX files, which run in browsers, games and phones.

    The files hold the four steps of the preset draft. model.json beside them describes the rest.
    """
    from ..export.onnx_folder import export_onnx
    from ..pipeline import load

    codec = load(source, "cpu", "fp32").codec
    with console.progress_bar("exporting", quiet or json) as tick:
        sizes = export_onnx(codec, target, duration, weights, tick)
    if json:
        record = {"target": target, "format": format, "weights": weights, "bytes": sizes}
        console.print_record(record, as_json=True)
    elif not quiet:
        total = sum(sizes.values())
        console.print_result(f"{target}  {len(sizes)} files  {total / 1e6:.1f} MB")
