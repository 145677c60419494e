"""What a deployment can choose, and the checks that refuse what it cannot.

Here belong the settings, their defaults and their meaning. What is done with them belongs to the room that does it.
"""

from ais_assets.settings.settings import (
    MOST_PILES,
    MOST_SHARDS,
    OF_THE_MACHINE,
    WINDOW_FORMATS,
    Settings,
    SettingsError,
    SourceName,
    in_force,
    load_settings,
)
from ais_assets.settings.variables import Variable

__all__ = [
    "MOST_PILES",
    "MOST_SHARDS",
    "OF_THE_MACHINE",
    "WINDOW_FORMATS",
    "Settings",
    "SettingsError",
    "SourceName",
    "Variable",
    "in_force",
    "load_settings",
]
