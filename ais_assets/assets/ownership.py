"""Who answers for the assets; shown in the UI."""

OWNERS = ["team:ais-assets"]
