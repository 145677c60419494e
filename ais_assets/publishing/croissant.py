"""croissant.json: the dataset's tables for machines, in Croissant 1.1 with its vocabulary for responsible AI.

Generated from `schema.py`, the accounts and what the card says. Paths are relative to the file, which lies at the root
of the dataset, so that a copy in another place describes itself. https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import pyarrow as pa

from ais_assets import schema
from ais_assets.ledger import Ledger
from ais_assets.publishing.card import BIASES, IMPUTATION, NO_USES, USES, CardFacts, limits, privacy
from ais_assets.publishing.rules import meaning

VERSION: Final = "http://mlcommons.org/croissant/1.1"
RESPONSIBLE: Final = "http://mlcommons.org/croissant/RAI/1.0"
_PARQUET: Final = "application/x-parquet"
_CONTEXT: Final[dict[str, Any]] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The specification's own."""
_SAME_AS: Final = {
    "lat": "http://www.w3.org/2003/01/geo/wgs84_pos#lat",
    "lon": "http://www.w3.org/2003/01/geo/wgs84_pos#long",
}
"""By column, what others call it."""
_TABLES: Final = {
    "tracks": ("tracks/????.parquet", schema.TRACKS, "One row a track."),
    "track_positions": (
        "track_shards/????.parquet",
        schema.TRACK_POSITIONS,
        "All positions of all tracks, as whole numbers; windows can be cut from them.",
    ),
    "records": (
        "clean_records/????-??-??.parquet",
        schema.CLEAN_RECORDS,
        "Usable positions of each day, as whole numbers, before they were made tracks.",
    ),
    "vessels": ("vessels/vessels.parquet", schema.VESSELS, "Who each vessel is."),
}
"""Beside windows: files, columns, and what a row is."""


def croissant(facts: CardFacts) -> bytes:
    """The file's content: the same bytes for the same facts."""
    settings, terms, dataset = facts.settings, facts.terms, facts.dataset
    tables = {**_windows(facts), **_TABLES}
    content: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": [VERSION, RESPONSIBLE],
        "name": facts.title,
        "description": (
            f"Windows of {settings.window_len} consecutive positions of ships' tracks, {settings.first_day} to "
            f"{settings.last_day} ({facts.days}), with the tracks and records behind them. Release {dataset.release}."
        ),
        "version": f"0.0.0+{dataset.release}",
        "license": terms.link or terms.licence,
        "creator": {"@type": "sc:Organization", "name": f"ais_assets {facts.code}"},
        "publisher": {"@type": "sc:Organization", "name": terms.publisher},
        "url": terms.home or "https://schema.org/Dataset",
        "keywords": ["AIS", "vessel trajectories", "maritime", *(["synthetic"] if facts.simulated else [])],
        "citeAs": f"{facts.title}, {settings.first_day} to {settings.last_day}, release {dataset.release}",
        "isLiveDataset": False,
        "temporalCoverage": f"{settings.first_day}/{settings.last_day}",
        **_spatial(facts),
        **_responsible(facts),
        "distribution": [
            *(_file_set(name, pattern, text) for name, (pattern, _, text) in tables.items()),
            *_index(facts),
        ],
        "recordSet": [_record_set(name, columns, text) for name, (_, columns, text) in tables.items()],
    }
    return (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode()


def _windows(facts: CardFacts) -> dict[str, tuple[str, pa.Schema, str]]:
    """Tables of windows: of training, and of each split that has a file of its own."""
    settings = facts.settings
    if "parquet" not in settings.window_formats:
        return {}
    columns = schema.windows_schema(settings.window_len)
    tables = {"windows": ("materialized/windows/?????.parquet", columns, "Training windows, in their global order.")}
    for split in settings.splits_apart:
        tables[split] = (f"materialized/{split}.parquet", columns, f"The windows of the split {split}, shuffled.")
    return tables


def _file_set(name: str, pattern: str, description: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": f"{name}-files",
        "name": f"{name}-files",
        "description": description,
        "encodingFormat": _PARQUET,
        "includes": pattern,
    }


def _index(facts: CardFacts) -> list[dict[str, Any]]:
    """The index of the MDS shards, which names them with their sizes and hashes."""
    mds = facts.dataset.mds
    if mds is None:
        return []
    return [
        {
            "@type": "cr:FileObject",
            "@id": "mds-index",
            "name": "mds-index",
            "description": f"The index of {mds.shards:,} MDS shards with the same training windows in the same order.",
            "encodingFormat": "application/json",
            "contentUrl": "mds/index.json",
            "contentSize": f"{len(mds.index)} B",
            "sha256": mds.statistics["index"],
        }
    ]


def _record_set(name: str, columns: pa.Schema, description: str) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": description,
        "field": [_field(name, column) for column in columns],
    }


def _field(table: str, column: pa.Field) -> dict[str, Any]:
    metadata = {key.decode(): value.decode() for key, value in (column.metadata or {}).items()}
    unit = metadata.get("unit", "1")
    same_as = _SAME_AS.get(column.name)
    return {
        "@type": "cr:Field",
        "@id": f"{table}/{column.name}",
        "name": column.name,
        "description": metadata.get("description", "") + (f" [{unit}]" if unit != "1" else ""),
        "dataType": _data_type(column.type),
        **_array(column.type),
        **({"equivalentProperty": same_as} if same_as else {}),
        "source": {"fileSet": {"@id": f"{table}-files"}, "extract": {"column": column.name}},
    }


def _array(kind: pa.DataType) -> dict[str, Any]:
    if pa.types.is_fixed_size_list(kind):
        return {"isArray": True, "arrayShape": str(kind.list_size)}
    return {"isArray": True, "arrayShape": "-1"} if pa.types.is_list(kind) else {}


def _data_type(kind: pa.DataType) -> str:
    """Raises ValueError for a type that no table has."""
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        return _data_type(kind.value_type)
    known = (
        (pa.types.is_boolean, "sc:Boolean"),
        (pa.types.is_integer, "sc:Integer"),
        (pa.types.is_floating, "sc:Float"),
        (pa.types.is_timestamp, "sc:DateTime"),
        (pa.types.is_date, "sc:Date"),
        (pa.types.is_string, "sc:Text"),
        (pa.types.is_dictionary, "sc:Text"),
    )
    for is_it, name in known:
        if is_it(kind):
            return name
    raise ValueError(f"Croissant's name of {kind} is not known here")


def _spatial(facts: CardFacts) -> dict[str, Any]:
    """Where, as schema.org has it: the corners of a box, latitude before longitude."""
    box = facts.box
    if box is None:
        return {}
    east = (box.east + 180) % 360 - 180 if box.east > 180 else box.east
    corners = f"{box.south:.6g} {box.west:.6g} {box.north:.6g} {east:.6g}"
    return {"spatialCoverage": {"@type": "sc:Place", "geo": {"@type": "sc:GeoShape", "box": corners}}}


def _responsible(facts: CardFacts) -> dict[str, Any]:
    """What is asked of a dataset by responsible AI (Croissant RAI 1.0)."""
    settings, simulated = facts.settings, facts.simulated
    collection = "Simulated ships." if simulated else "AIS broadcasts of ships, received by stations ashore."
    return {
        "rai:dataCollection": f"{collection} Source: {facts.terms.publisher}.",
        "rai:dataCollectionType": ["Software Collection"] if simulated else ["Passive Data Collection"],
        "rai:dataCollectionTimeframe": [f"{settings.first_day}T00:00:00", f"{settings.last_day}T23:59:59"],
        "rai:dataCollectionMissingData": f"{facts.days}. Fields that are not available are null.",
        "rai:dataCollectionRawData": f"{len(facts.archives):,} files of the source, with digests in the card.",
        "rai:dataImputationProtocol": IMPUTATION,
        "rai:dataPreprocessingProtocol": [*_rules(facts.funnel)],
        "rai:dataManipulationProtocol": "Splits by hull before windows are cut; one global, uniformly random order.",
        "rai:dataBiases": BIASES,
        "rai:dataUseCases": f"{USES} {NO_USES}",
        "rai:dataLimitations": " ".join(limits(simulated)),
        "rai:dataSocialImpact": NO_USES,
        "rai:personalSensitiveInformation": privacy(settings),
        "rai:dataReleaseMaintenancePlan": "A release is never changed; another one has another id.",
    }


def _rules(funnel: Mapping[str, Ledger]) -> list[str]:
    """What was dropped, a sentence a rule."""
    return [
        f"{rule}: {meaning(rule)}; {rows:,} of {account.rows_in:,} {what}."
        for what, account in funnel.items()
        for rule, rows in account.dropped.items()
        if rows
    ]
