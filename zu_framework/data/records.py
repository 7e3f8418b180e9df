"""Records: whatever is wrong with one is a `DataError` that names file, record and field."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from zu_framework.data.messages import JSON_NAMES, described, listed
from zu_framework.errors import DataError
from zu_framework.problem.requests import stripped

T = TypeVar("T")

LONGEST = 131072  # characters of a prompt, an answer ...; the csv module's own limit


@dataclass(frozen=True)
class Record:
    """One record of a data file, with checked access to its fields.

    Args:
        fields: Name -> value, as JSON holds them.
        where: What messages call it: "FILE, line 3", "FILE, record 3".
        prefix: The path of fields that leads here, with a dot at its end; "" for a whole record.
        called: Name -> what the file calls that field, where a reader renamed it.
        cells: Whether it is a row of a table, whose values are all texts.
    """

    fields: Mapping[str, Any]
    where: str
    prefix: str = ""
    called: Mapping[str, str] = field(default_factory=dict)
    cells: bool = False

    def error(self, name: str, what: str) -> DataError:
        """Return the error for a field of this record.

        Args:
            name: The field, its index behind it: "paraphrases[2]".
            what: What is wrong with it.

        Returns:
            The error, which names file, record and field.
        """
        bare = re.match(r"\w*", name)
        own = self.called.get(bare[0], bare[0]) + name[bare.end() :] if bare else name
        return DataError(f"{self.where}, field '{self.prefix}{own}': {what}")

    def has(self, name: str) -> bool:
        """Tell whether a field is there, and not null.

        Args:
            name: The field.

        Returns:
            Whether it is.
        """
        return self.fields.get(name) is not None

    def inside(self, name: str) -> Record:
        """Return the object under a field.

        Args:
            name: The field.

        Returns:
            A record, whose messages name the path that leads to it.
        """
        return Record(self._typed(name, dict), self.where, f"{self.prefix}{self.called.get(name, name)}.")

    def text(self, name: str, longest: int | None = LONGEST) -> str:
        """Return a text that is not blank, as it is written.

        Args:
            name: The field.
            longest: Characters that it may have; None for no limit.

        Returns:
            The text.
        """
        return self.checked(name, self._typed(name, str), longest)

    def stripped(self, name: str) -> str:
        """Return a text that is not blank, without white space around it.

        Args:
            name: The field.

        Returns:
            The text.
        """
        return stripped(self.text(name))

    def stripped_or_none(self, name: str) -> str | None:
        """Return a text without white space around it, or None where the field is missing or null.

        Args:
            name: The field.

        Returns:
            The text, or None.
        """
        return self.stripped(name) if self.has(name) else None

    def text_or_none(self, name: str) -> str | None:
        """Return a text that is not blank, or None where the field is missing or null.

        Args:
            name: The field.

        Returns:
            The text as it is written, or None.
        """
        return self.text(name) if self.has(name) else None

    def label(self, name: str, default: str) -> str:
        """Return an identifier, a text or a whole number.

        Args:
            name: The field.
            default: Where it is missing, null or "".

        Returns:
            The identifier as a text.

        Raises:
            DataError: It is neither, or a number of more than 128 bits.
        """
        value = self.fields.get(name)
        if value is None or value == "":
            return default
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise self.error(name, f"expected a text or a whole number, got {described(value)}")
        if isinstance(value, int) and value.bit_length() > 128:
            raise self.error(name, f"is a number of {value.bit_length()} bits: write it as a text")
        return self.checked(name, str(value))

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts, none of them blank.

        Args:
            name: The field.

        Returns:
            The texts as they are written.
        """
        for index, item in enumerate(values := self.items(name)):
            if not isinstance(item, str):
                raise self.error(f"{name}[{index}]", f"expected a text, got {described(item)}")
            self.checked(f"{name}[{index}]", item)
        return tuple(values)

    def texts_or_none(self, name: str) -> tuple[str, ...]:
        """Return a list of texts, empty where the field is missing or null.

        Args:
            name: The field.

        Returns:
            The texts as they are written.
        """
        return self.texts(name) if self.has(name) else ()

    def one_or_several(self, name: str) -> tuple[str, ...]:
        """Return a list of texts, where a text alone is a list of one, and a missing field an empty one.

        Args:
            name: The field.

        Returns:
            The texts as they are written.
        """
        return (self.text(name),) if isinstance(self.fields.get(name), str) else self.texts_or_none(name)

    def whole(self, name: str) -> int:
        """Return a whole number, also one written as a text.

        Args:
            name: The field.

        Returns:
            The number.
        """
        value = self.fields.get(name)
        if isinstance(value, str) and re.fullmatch(r"\s*[0-9]{1,18}\s*", value):
            return int(value)
        if name in self.fields and (isinstance(value, bool) or not isinstance(value, int)):
            raise self.error(name, f"expected a whole number, got {described(value)}")
        return self._typed(name, int)

    def objects(self, name: str) -> list[Record]:
        """Return a list of objects.

        Args:
            name: The field.

        Returns:
            Each as a record of its own.
        """
        found = []
        for index, item in enumerate(self.items(name)):
            if not isinstance(item, Mapping):
                raise self.error(f"{name}[{index}]", f"expected an object, got {described(item)}")
            called = self.called.get(name, name)
            found.append(Record(item, self.where, f"{self.prefix}{called}[{index}]."))
        return found

    def items(self, name: str) -> list[Any]:
        """Return a list of anything.

        Args:
            name: The field.

        Returns:
            Its items.
        """
        value = self.fields.get(name)
        return list(value) if isinstance(value, tuple) else self._typed(name, list)

    def checked(self, name: str, value: str, longest: int | None = LONGEST) -> str:
        """Return a text of a field, once it is known that a tokenizer takes it.

        Args:
            name: The field, for messages.
            value: The text.
            longest: Characters that it may have; None for no limit.

        Returns:
            The text.

        Raises:
            DataError: It is blank, too long, or holds a NUL or half of a surrogate pair.
        """
        if not stripped(value):
            raise self.error(name, "is empty")
        if longest is not None and len(value) > longest:
            raise self.error(name, f"has {len(value)} characters, and may have {longest}")
        if fault := unusable(value):
            raise self.error(name, fault)
        return value

    def _typed(self, name: str, kind: type[T]) -> T:
        if name not in self.fields:
            raise self.error(name, f"missing; the record has: {listed(self.fields)}")
        value = self.fields[name]
        if not isinstance(value, Mapping if kind is dict else kind):
            quote = ": quote it" if kind is str and isinstance(value, bool | int | float) else ""
            raise self.error(name, f"expected {JSON_NAMES[kind]}, got {described(value)}{quote}")
        return cast(T, value)


def unusable(text: str) -> str:
    """Return what is wrong with the characters of a text, "" where nothing is."""
    if "\0" in text:
        return f"character {text.index(chr(0))} is a NUL: take it out"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as cause:  # JSON's \ud83d without its other half: no tokenizer takes it
        return f"character {cause.start} is half of a surrogate pair: mend the escape"
    return ""
