"""Golden network graphs, weight files and genuine legacy model folders."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from golden_kinds import dfm, models_dfm, models_files, models_graphs, models_layers
from golden_kinds.check import Check


def cases(folder: Path) -> list[str]:
    """Everything that the folder holds, by metadata and kind of file."""
    found = []
    if (folder / "layers.npz").exists():
        found.append("layers")
    found += [name for name in _meta(folder) if (folder / f"{name}.npz").exists()]
    unknown = {p.stem for p in folder.glob("*.npz")} - set(found)
    found += sorted(unknown)  # a file without an entry in meta.json cannot be run: a failure
    found += [
        p.stem
        for p in (
            folder / "unet_archi_table.json",
            folder / "pickle_globals.json",
            folder / "weight_rule_check.json",
        )
        if p.exists()
    ]
    found += [f"weight_keys/{p.stem}" for p in sorted((folder / "weight_keys").glob("*.json"))]
    found += [f"legacy/{p.parent.name}" for p in sorted((folder / "legacy").glob("*/*_data.dat"))]
    return found + models_dfm.dfm_cases(folder) + dfm.cases(folder)


def run(folder: Path, case: str) -> list[Check]:
    """Run one case."""
    kind, _, name = case.partition("/")
    if kind == "weight_keys":
        return models_files.compare_weight_keys(folder / "weight_keys" / f"{name}.json")
    if kind == "legacy":
        return models_files.compare_legacy_folder(folder / "legacy" / name)
    if kind == "dfm":
        return models_dfm.compare_dfm(folder, name)
    if kind in ("export", "form"):
        return dfm.run(folder, case)
    if case == "layers":
        with np.load(folder / "layers.npz") as golden:
            return models_layers.compare_layers(dict(golden))
    if case == "unet_archi_table":
        return models_layers.compare_patch_table(_json(folder / f"{case}.json"))
    if case == "weight_rule_check":
        return models_graphs.compare_weight_rule(_json(folder / f"{case}.json"))
    if case == "pickle_globals":
        return models_files.compare_pickle_globals(_json(folder / f"{case}.json"))
    with np.load(folder / f"{case}.npz") as golden:
        return models_graphs.compare_graph(dict(golden), _meta(folder)[case])


def _json(path: Path) -> dict:
    return json.loads(path.read_text())


def _meta(folder: Path) -> dict[str, dict]:
    path = folder / "meta.json"
    return _json(path) if path.exists() else {}
