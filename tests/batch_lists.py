"""Lists of rows for `latentaudio batch`, and its words."""

import json


def write_rows(file, num_rows, duration):
    """Write a list of clips of one duration in seconds; return the file."""
    lines = [
        {"name": f"clip{k}", "prompt": "a bell", "duration": duration} for k in range(num_rows)
    ]
    file.write_text("\n".join(map(json.dumps, lines)))
    return file


def batch_command(rows_file, folder, model, *flags, steps=2):
    """Words of a command that computes the same everywhere."""
    return [
        "batch", str(rows_file), str(folder), "--model", str(model), "--steps", str(steps),
        "--seed", "5", "--quiet", "--device", "cpu", "--precision", "fp32", *flags,
    ]  # fmt: skip
