"""Random damage to files: bytes, the values of a JSON or YAML file, and the text of either."""

import copy
import json
import math
import re

NUMBERS = (0, 1, -1, 3, 7, 255, 1e-9, 0.5, 1e308, -1e308, math.nan, math.inf, 2**31, 2**63, 2**64)
"""Numbers that replace others."""
VALUES = (None, True, "", "x", "\x1b[2J", [], {}, [[]], [1], {"a": 1}, "1", *NUMBERS)
"""Values of other types."""
NUMBER_TEXTS = ("0", "-1", "1e999", "-0", "9" * 5000, "0.1e-400", "NaN", "-Infinity", "1" * 19)
MAX_EDITS = 4
DEPTH = 20_000
"""Levels of brackets: far beyond the recursion limit."""
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_INTEGER_SIZES = (1, 2, 4, 8)
_INTEGERS = (0, 1, 2, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)
_HEADER_BYTES = 256


def mutate_bytes(data, rng):
    """Return bytes with up to four flips, cuts, insertions, repetitions or other numbers."""
    edits = (_flip, _truncate, _insert, _delete, _repeat, _set_integer)
    for _ in range(rng.randint(1, MAX_EDITS)):
        data = rng.choice(edits)(data, rng)
    return data


def mutate_json(data, rng):
    """Return a JSON text with changed values, or a damaged text."""
    if rng.random() < 0.25:
        return mutate_text(data, rng)
    try:
        value = json.loads(data)
    except ValueError:  # lines of JSON
        return mutate_json_lines(data, rng)
    for _ in range(rng.randint(1, 2)):
        value = mutate_value(value, rng)
    return json.dumps(value).encode()


def mutate_json_lines(data, rng):
    """Return lines of JSON of which some are changed."""
    lines = data.split(b"\n")
    place = rng.randrange(len(lines))
    if lines[place].strip():
        lines[place] = mutate_json(lines[place], rng)
    return b"\n".join(lines)


def mutate_yaml(data, rng):
    """Return a YAML text with changed values, or a damaged text."""
    import yaml

    if rng.random() < 0.5:
        extra = (b"\na: &a [1, *a]\n", b"\n? [", b"\nd: 2024-13-45\n", b"\nt: !!timestamp x\n")
        damaged = mutate_text(data, rng)
        return damaged + rng.choice(extra) if rng.random() < 0.3 else damaged
    value = mutate_value(yaml.safe_load(data), rng)
    return yaml.safe_dump(value, allow_unicode=True).encode()


def mutate_text(data, rng):
    """Return a text with another number, deep brackets, a repeated line or damaged bytes."""
    kind = rng.randrange(5)
    place = rng.randint(0, len(data))
    if kind == 0 and (numbers := list(_NUMBER.finditer(data))):
        match = rng.choice(numbers)
        return data[: match.start()] + rng.choice(NUMBER_TEXTS).encode() + data[match.end() :]
    if kind == 1:
        bracket = rng.choice((b"[", b"{", b'{"a":', b"[{", b"("))
        return data[:place] + bracket * DEPTH + data[place:]
    if kind == 2:
        lines = data.split(b"\n")
        return b"\n".join([*lines, rng.choice(lines)])
    if kind == 3:
        odd = (b"\xff\xfe", b"\x00", b"\x1b]0;x\x07", "\u202e\u2028".encode(), b'"' * 9, b"\r")
        return data[:place] + rng.choice(odd) + data[place:]
    return mutate_bytes(data, rng)


def mutate_value(value, rng):
    """Return a value of which one part has another value, type, name or depth, or is missing."""
    value = copy.deepcopy(value)
    parts = list(_parts(value))
    if not parts:
        return rng.choice(VALUES)
    holder, key = rng.choice(parts)
    kind = rng.randrange(8)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, dict):
        holder[f"{key}{rng.choice(('', '_', '2', chr(0x1B)))}x"] = copy.deepcopy(holder[key])
    elif kind == 1:
        holder.extend(copy.deepcopy(holder) * rng.randint(1, 3))
    elif kind == 2:
        holder[key] = rng.choice(([holder[key]], {"a": holder[key]}, str(holder[key])))
    elif kind == 3:
        holder[key] = rng.choice(VALUES)
    elif kind == 4 and isinstance(holder[key], str):
        holder[key] = rng.choice((holder[key] * 999, holder[key][1:], f"../{holder[key]}", "\x00"))
    else:
        holder[key] = rng.choice(NUMBERS)
    return value


def _parts(value):
    """Yield every (holder, key) of nested lists and mappings; numbers twice, as they matter."""
    if isinstance(value, dict):
        items = list(value.items())
    else:
        items = list(enumerate(value)) if isinstance(value, list) else []
    for key, part in items:
        yield value, key
        if isinstance(part, int | float):
            yield value, key
        yield from _parts(part)


def _flip(data, rng):
    damaged = bytearray(data)
    for _ in range(rng.randint(1, 8) if damaged else 0):
        damaged[_place(data, rng)] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def _truncate(data, rng):
    return data[: _place(data, rng)]


def _insert(data, rng):
    place = _place(data, rng)
    return data[:place] + rng.randbytes(rng.choice((1, 2, 4, 100))) + data[place:]


def _delete(data, rng):
    place = _place(data, rng)
    return data[:place] + data[place + rng.choice((1, 2, 4, 100)) :]


def _repeat(data, rng):
    place = _place(data, rng)
    part = data[place : place + rng.choice((4, 16, 64))]
    return data[:place] + part * rng.choice((2, 3, 500)) + data[place:]


def _set_integer(data, rng):
    size = rng.choice(_INTEGER_SIZES)
    place = _place(data, rng)
    number = rng.choice(_INTEGERS) % 2 ** (8 * size)
    written = number.to_bytes(size, rng.choice(("little", "big")))
    return data[:place] + written + data[place + size :]


def _place(data, rng):
    """Return a place, half of the time in the header."""
    end = max(1, len(data))
    return rng.randrange(min(_HEADER_BYTES, end) if rng.random() < 0.5 else end)
