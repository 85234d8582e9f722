"""Flags of the authors' commands `audioldm` and `audioldm2` under `latentaudio generate`. Knows both tables of words.

A line written for them works with its first word replaced; what has no counterpart is refused with what to write instead.
Source: spec 12.1, 12.2.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import UsageError

RENAMED = {
    "--transcription": "--transcript", "--model_name": "--model", "-d": "--device", "--ddim_steps": "--steps",
    "-gs": "--guidance", "--guidance_scale": "--guidance", "-dur": "--seconds", "--duration": "--seconds",
    "-n": "--candidates", "--n_candidate_gen_per_text": "--candidates", "-tl": "--text-list", "--text_list": "--text-list",
}  # fmt: skip
PROMPT = ("-t", "--text")
FOLDER = ("-s", "--save_path")
WITHOUT_EFFECT = ("-b", "--batchsize", "-ckpt", "--ckpt_path")
"""Batches change no sound here, and the authors' newer versions read no --ckpt_path either: name the file with --model."""
ELSEWHERE = ("-f", "--file_path", "--transfer_strength")


def translated(tokens: Sequence[str]) -> list[str]:
    """The tokens of `generate` with old flags in today's words; raises UsageError for those that nothing here does."""
    done: list[str] = []
    rest = iter(tokens)
    for token in rest:
        flag, joined, value = token.partition("=")
        if flag not in (*RENAMED, *PROMPT, *FOLDER, *WITHOUT_EFFECT, *ELSEWHERE, "--mode"):
            done.append(token)
            continue
        if not joined:
            value = next(rest, "")
        if flag in RENAMED:
            done += [RENAMED[flag], value]
        elif flag in PROMPT:
            done.append(value)
        elif flag in FOLDER:
            done += ["--output", value if value.endswith("/") else f"{value}/"]
        elif flag in ELSEWHERE or (flag == "--mode" and value != "generation"):
            raise UsageError(f"{flag} {value}: generate makes sound from text only; sounds are not edited by this version")
    return done
