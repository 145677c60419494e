"""Under which terms the source's data are, for the card: publisher, licence, attribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ais_assets.settings import Settings
from ais_assets.sources import source_class


@dataclass(frozen=True)
class Terms:
    """Who publishes the source's data, and how they may be used.

    Attributes:
        publisher: whose data they are.
        licence: in words.
        attribution: what must be said where the data are used; None: nothing is known of that.
        home: where the publisher has them; None: nowhere in public.
        hub_licence: the name that Hugging Face's hub has for the licence.
        link: the licence's text.
    """

    publisher: str
    licence: str
    attribution: str | None = None
    home: str | None = None
    hub_licence: str = "other"
    link: str | None = None


_SIMULATED: Final = Terms(
    "nobody: a program made them up",
    "CC0 1.0, public domain",
    hub_licence="cc0-1.0",
    link="https://creativecommons.org/publicdomain/zero/1.0/",
)
_OWNER: Final = "whoever gave the files"
_LINKS: Final = {
    "marinecadastre": "https://creativecommons.org/publicdomain/zero/1.0/",
    "norway": "https://data.norge.no/nlod/en/2.0",
}
_HUB_LICENCES: Final = {"marinecadastre": "cc0-1.0"}


def terms_of(settings: Settings) -> Terms:
    """The terms of the source that the settings name; of files of one's own they are their owner's, whoever that is."""
    name = settings.source
    if name == "simulated":
        return _SIMULATED
    kind = source_class(name)
    return Terms(
        kind.publisher or _OWNER,
        kind.licence,
        kind.attribution,
        kind.home,
        _HUB_LICENCES.get(name, "other"),
        _LINKS.get(name),
    )
