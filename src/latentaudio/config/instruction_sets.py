"""Instruction sets that a benchmark can hold torch and its libraries to. Torch-free.

The libraries read their limits once, so they are set in the environment of a new process. A server
processor can then stand for a laptop: same instructions, other clock and memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from ..errors import UsageError

InstructionSet: TypeAlias = Literal["avx2", "avx2-vnni", "avx512", "avx512-bf16", "amx"]

HELD_VARIABLE = "LATENTAUDIO_INSTRUCTION_SET"
"""Name in the environment of the set that a process is held to."""

_CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class InstructionSetSpec:
    """Limits of one set.

    Attributes:
        flags: What the processor must have, as Linux names it.
        onednn: Value of oneDNN's variable, and of OpenVINO's.
        aten: Value of torch's variable, for its own kernels.
        mkl: Value of MKL's variable. MKL may ignore it on processors of others.
    """

    flags: tuple[str, ...]
    onednn: str
    aten: str
    mkl: str


INSTRUCTION_SETS: dict[str, InstructionSetSpec] = {
    "avx2": InstructionSetSpec(("avx2",), "AVX2", "avx2", "AVX2"),
    "avx2-vnni": InstructionSetSpec(("avx2", "avx_vnni"), "AVX2_VNNI", "avx2", "AVX2"),
    "avx512": InstructionSetSpec(("avx512f", "avx512bw"), "AVX512_CORE", "avx512", "AVX512"),
    "avx512-bf16": InstructionSetSpec(("avx512_bf16",), "AVX512_CORE_BF16", "avx512", "AVX512"),
    "amx": InstructionSetSpec(("amx_tile", "amx_bf16"), "AVX512_CORE_AMX", "avx512", "AVX512"),
}


def environment_of(name: InstructionSet) -> dict[str, str]:
    """Return the variables that hold a new process to an instruction set.

    Raises:
        UsageError: The processor lacks it.
    """
    spec = INSTRUCTION_SETS[name]
    present = set(_CPUINFO.read_text().split()) if _CPUINFO.is_file() else set(spec.flags)
    missing = [flag for flag in spec.flags if flag not in present]
    if missing:
        raise UsageError(
            f"this processor lacks {missing[0]}, so it cannot be held to {name}; choose another "
            "instruction set"
        )
    return {
        "ONEDNN_MAX_CPU_ISA": spec.onednn,
        "DNNL_MAX_CPU_ISA": spec.onednn,
        "OV_CPU_MAX_ISA": spec.onednn,
        "ATEN_CPU_CAPABILITY": spec.aten,
        "MKL_ENABLE_INSTRUCTIONS": spec.mkl,
        HELD_VARIABLE: name,
    }


def held_set(environment: Mapping[str, str]) -> str:
    """Return the set that a process with this environment is held to, or the empty text."""
    name = environment.get(HELD_VARIABLE, "")
    return name if name in INSTRUCTION_SETS else ""
