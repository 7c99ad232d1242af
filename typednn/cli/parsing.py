"""The parser of the command, whose errors name the command or option that is probably meant."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from typednn.errors import SettingError
from typednn.synonyms import likely_name

INVALID_CHOICE = re.compile(r"argument COMMAND: invalid choice: '(.*?)' \(choose from (.*)\)")
UNRECOGNIZED = re.compile(r"unrecognized arguments: (.*)")


class Parser(argparse.ArgumentParser):
    """An argument parser that raises the library's errors, with what is probably meant."""

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **options})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  (as argparse takes them)

    def error(self, message: str) -> NoReturn:
        """Raises SettingError."""
        raise SettingError(f"{self._with_hint(message)}; {self.prog} --help tells more")

    def parse_known_args(  # pyright: ignore[reportIncompatibleMethodOverride]  (Any)
        self, args: Any = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Parses as argparse does; a subparser answers for the options that it does not know."""
        found, rest = super().parse_known_args(args, namespace)
        if rest:
            self.error(f"unrecognized arguments: {' '.join(rest)}")
        return found, rest

    def _with_hint(self, message: str) -> str:
        command, options = INVALID_CHOICE.search(message), UNRECOGNIZED.fullmatch(message)
        if command:
            names = [name.strip(" '") for name in command[2].split(",")]
            hint = _meant(command[1], names)
            return f"there is no command {command[1]!r}{hint}; commands are {', '.join(names)}"
        if options:
            first = options[1].split(" ")[0].partition("=")[0]
            if first.startswith("-"):
                return f"there is no option {first}{_meant(first, list(self._flags()))}"
            return f"unexpected argument {options[1]!r}"
        return message

    def _flags(self) -> Iterator[str]:
        for action in self._actions:
            yield from (flag for flag in action.option_strings if flag.startswith("--"))


def _meant(name: str, names: list[str]) -> str:
    likely = likely_name("command", name, names)
    return f": did you mean {likely[0]}?" if likely else ""
