"""What becomes of each key of a configuration file: honored, held to one value, or without effect.

`library_keys` has one table for each class of diffusers and transformers. `read_settings` applies a
table to a file, so that no value is read by nobody: a key that is in no table is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal, TypeAlias

from ..errors import WeightsError

Settings: TypeAlias = Mapping[str, Any]
"""Content of a configuration file by key."""
Kind: TypeAlias = Literal["honored", "fixed", "ignored"]

VERSION_STAMPS = ("transformers_version", "diffusers_version")
"""Keys that libraries write and never read. So are all that begin with an underscore."""
_MAX_VALUE_CHARS = 60
_NUM_SIMILAR = 3


@dataclass(frozen=True)
class Rule:
    """What a value must be.

    Attributes:
        text: The rule in words, behind "must be".
        accepts: (value, all settings of the file) -> whether the value obeys.
    """

    text: str
    accepts: Callable[[Any, Settings], bool]


@dataclass(frozen=True)
class Key:
    """One row of a table.

    Attributes:
        default: What the library takes where a file lacks the key.
        kind: "honored": read; "fixed": refused if it breaks the rule; "ignored": without effect.
        note: Honored: field of our configuration. Ignored: the reason.
        rule: What the value must be.
    """

    default: Any
    kind: Kind
    note: str
    rule: Rule


@dataclass(frozen=True)
class KeyTable:
    """The keys of one class.

    Attributes:
        name: The class.
        keys: Its rows.
        extra: Keys that the class of today does not have and that published files contain.
        nested: Tables of keys whose values have keys of their own.
        accepts_unknown: Whether other keys are let through, because the class does not read them.
    """

    name: str
    keys: Mapping[str, Key]
    extra: Mapping[str, Key]
    nested: Mapping[str, KeyTable]
    accepts_unknown: bool = False

    def knows(self, name: str) -> bool:
        """Return whether a file may have a key."""
        is_stamp = name.startswith("_") or name in VERSION_STAMPS
        return self.accepts_unknown or is_stamp or name in self.keys or name in self.extra


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _are_counts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_count, value))


def _are_lists_of_counts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_are_counts, value))


COUNT = Rule("a whole number, 1 or more", lambda value, _: _is_count(value))
COUNTS = Rule("a list of whole numbers, 1 or more", lambda value, _: _are_counts(value))
COUNT_OR_COUNTS = Rule(
    "a whole number, 1 or more, or a list of them",
    lambda value, _: _is_count(value) or _are_counts(value),
)
COUNT_OR_NULL = Rule(
    "a whole number, 1 or more, or null", lambda value, _: value is None or _is_count(value)
)
LISTS_OF_COUNTS = Rule("a list of lists of whole numbers", lambda v, _: _are_lists_of_counts(v))
INDEX = Rule(
    "a whole number, 0 or more",
    lambda value, _: isinstance(value, int) and not isinstance(value, bool) and value >= 0,
)
NUMBER = Rule("a number", lambda value, _: _is_number(value))
POSITIVE = Rule("a number above 0", lambda value, _: _is_number(value) and value > 0)
FLAG = Rule("true or false", lambda value, _: isinstance(value, bool))
ANYTHING = Rule("anything", lambda value, _: True)


def one_of(*values: Any) -> Rule:
    """Return the rule that a value must be one of some."""
    return Rule(" or ".join(_spell(value) for value in values), lambda value, _: value in values)


def all_of(*values: str) -> Rule:
    """Return the rule that a value must be a list of some words."""
    text = f"a list of {' and '.join(values)}"
    return Rule(text, lambda value, _: isinstance(value, list) and set(value) <= set(values))


def equals_key(other: str) -> Rule:
    """Return the rule that a value must equal that of another key."""
    return Rule(f"equal to {other}", lambda value, settings: value == settings[other])


def honored(default: Any, field: str, rule: Rule = ANYTHING) -> Key:
    """Return the row of a key that a field of our configuration holds."""
    return Key(default, "honored", field, rule)


def fixed(default: Any, *values: Any) -> Key:
    """Return the row of a key that must have one of some values; none given: the default."""
    return Key(default, "fixed", "", one_of(*(values or (default,))))


def held_to(default: Any, rule: Rule) -> Key:
    """Return the row of a key that must obey a rule and is not read any further."""
    return Key(default, "fixed", "", rule)


def ignored(reason: str, *names: str) -> dict[str, Key]:
    """Return the rows of keys without effect, for one reason."""
    return {name: Key(None, "ignored", reason, ANYTHING) for name in names}


def table(
    name: str,
    keys: Mapping[str, Key],
    extra: Mapping[str, Key] | None = None,
    nested: Mapping[str, KeyTable] | None = None,
) -> KeyTable:
    """Return the table of one class."""
    return KeyTable(name, keys, extra or {}, nested or {})


def read_settings(content: Settings, rows: KeyTable, file: str, prefix: str = "") -> dict[str, Any]:
    """Return the settings of a file, with the library's defaults where it has no key.

    Args:
        content: The file's content.
        rows: The table of its class.
        file: Its path, for errors.
        prefix: Names of the keys that this content is nested in.

    Raises:
        WeightsError: A key is unknown, or a value breaks its rule.
    """
    known = {**rows.extra, **rows.keys}
    settings = {name: key.default for name, key in known.items()}
    settings.update(content)
    for name in content:
        if not rows.knows(name):
            raise WeightsError(_unknown_key(f"{prefix}{name}", name, known, rows.name, file))
    for name, key in known.items():
        if key.kind == "ignored" or key.rule.accepts(settings[name], settings):
            continue
        value = _spell(settings[name])[:_MAX_VALUE_CHARS]
        origin = "" if name in content else f", the default of {rows.name}"
        raise WeightsError(
            f"{file} has {prefix}{name} = {value}{origin}; it must be {key.rule.text}, because "
            f"AudioLDM has nothing else; use another model"
        )
    for name, inner in rows.nested.items():
        nested = settings[name] if isinstance(settings[name], dict) else {}
        settings[name] = read_settings(nested, inner, file, f"{prefix}{name}.")
    return settings


def _unknown_key(
    full_name: str, name: str, known: Mapping[str, Key], class_name: str, file: str
) -> str:
    similar = get_close_matches(name, known, _NUM_SIMILAR)
    hint = f"; similar keys are {', '.join(similar)}" if similar else ""
    return (
        f"{file} has the key {full_name}, which {class_name} does not have{hint}; "
        f"remove the key or use another model"
    )


def _spell(value: Any) -> str:
    """Return a value as JSON spells it."""
    words = {None: "null", True: "true", False: "false"}
    is_word = value is None or isinstance(value, bool)
    return words[value] if is_word else repr(value)


def whole_number(number: float) -> int | float:
    """Return a number as the libraries' JSON has it: whole numbers have no fraction there."""
    return int(number) if number == int(number) else number
