"""Names of objects and files that come from elsewhere, and must not lead out of where they are looked for."""

from __future__ import annotations


def stays_inside(name: str) -> bool:
    """Whether a name is relative, normal and below where it starts."""
    return not {"", ".", ".."} & set(name.split("/"))
