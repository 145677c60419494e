"""The variables behind the settings: which there are, where each one's value came from, and what it means."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, Literal

from dotenv.parser import parse_stream
from pydantic.fields import FieldInfo

from ais_assets.settings.addresses import shown_address

PREFIX: Final = "AIS_"
ENV_FILE: Final = ".env"
Origin = Literal["environment", ".env", "default"]


@dataclass(frozen=True)
class Variable:
    """One setting, as it is in force.

    Attributes:
        name: of the environment variable.
        value: as one would write it there; without user, password and the query's values where it is an address.
        origin: what gave it.
        meaning: what it is for.
    """

    name: str
    value: str
    origin: Origin
    meaning: str


def variable_of(field: str) -> str:
    """The environment variable that a field reads."""
    return PREFIX + field.upper()


def effective(values: dict[str, Any], fields: dict[str, FieldInfo]) -> list[Variable]:
    """Every setting with its value and where that came from, in the order in which the fields are declared."""
    set_here, set_in_file = _in_environment(), set(_in_file(Path(ENV_FILE)))

    def origin(name: str) -> Origin:
        return "environment" if name in set_here else ".env" if name in set_in_file else "default"

    return [
        Variable(variable_of(name), written(values[name]), origin(variable_of(name)), field.description or "")
        for name, field in fields.items()
    ]


def written(value: Any) -> str:
    """A setting's value as it may be shown, in the form in which the environment has it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    if isinstance(value, str):
        return shown_address(value)
    return value.model_dump_json() if hasattr(value, "model_dump_json") else str(value)


def faults(fields: Iterable[str]) -> list[str]:
    """What is wrong with the variables' names, in the environment and in `.env`: one sentence each."""
    known = {variable_of(field) for field in fields}
    return [
        *(_unknown(name, known, "the environment") for name in sorted(_in_environment() - known)),
        *_faults_of_file(Path(ENV_FILE), known),
    ]


def _in_environment() -> set[str]:
    return {name.upper() for name in os.environ if name.upper().startswith(PREFIX)}


def _in_file(path: Path) -> Iterator[str]:
    if path.is_file():
        with path.open(encoding="utf-8") as lines:
            yield from (binding.key.upper() for binding in parse_stream(lines) if binding.key)


def _faults_of_file(path: Path, known: set[str]) -> Iterator[str]:
    if not path.is_file():
        return
    with path.open(encoding="utf-8") as lines:
        for binding in parse_stream(lines):
            where = f"{path} line {binding.original.line}"
            if binding.error:
                yield f"{where} is not NAME=value"
            elif binding.key and binding.key.upper().startswith(PREFIX):
                if binding.key.upper() not in known:
                    yield _unknown(binding.key, known, where)
                elif binding.value is None:
                    yield f"{where}: {binding.key} has no value; write {binding.key}=value"


def _unknown(name: str, known: set[str], where: str) -> str:
    near = get_close_matches(name.upper(), sorted(known), n=1, cutoff=0.6)
    return f"{name} in {where} is no setting" + (f"; {near[0]} is" if near else "; `ais settings` lists them")
