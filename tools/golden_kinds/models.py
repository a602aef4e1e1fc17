"""Golden network graphs, weight files and genuine legacy model folders."""

from __future__ import annotations

from pathlib import Path

from golden_kinds import dfm, models_files, models_graphs, models_layers, texts
from golden_kinds.arrays import load_arrays, load_json
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
    found += [f"legacy/{p.name}" for p in _first_of_each(folder / "legacy")]
    found += [f"defaults/{p.relative_to(folder)}" for p in _defaults(folder)]
    found += [f"summary/{p.name}" for p in sorted((folder / "legacy").glob("*_summary.txt"))]
    return found + dfm.cases(folder)


def run(folder: Path, case: str) -> list[Check]:
    """Run one case."""
    kind, _, name = case.partition("/")
    if kind == "weight_keys":
        return models_files.compare_weight_keys(folder / "weight_keys" / f"{name}.json")
    if kind == "legacy":
        return models_files.compare_legacy_folder(folder / "legacy" / name)
    if kind == "defaults":
        return texts.compare_defaults(folder / name)
    if kind == "summary":
        return texts.compare_lone_summary(folder / "legacy" / name)
    if kind in ("export", "dfm"):
        return dfm.run(folder, case)
    if case == "layers":
        return models_layers.compare_layers(load_arrays(folder / "layers.npz"))
    if case == "unet_archi_table":
        return models_layers.compare_patch_table(load_json(folder / f"{case}.json"))
    if case == "weight_rule_check":
        return models_graphs.compare_weight_rule(load_json(folder / f"{case}.json"))
    if case == "pickle_globals":
        return models_files.compare_pickle_globals(load_json(folder / f"{case}.json"))
    meta = _meta(folder).get(case)
    if meta is None:
        raise ValueError(f"meta.json has no entry for {case}.npz")
    return models_graphs.compare_graph(load_arrays(folder / f"{case}.npz"), meta)


def _first_of_each(legacy: Path) -> list[Path]:
    """The folders that hold a model."""
    return sorted({path.parent for path in legacy.glob("*/*_data.dat")})


def _defaults(folder: Path) -> list[Path]:
    patterns = ("legacy/*_default_options*.dat", "legacy/*/*_default_options*.dat")
    return sorted(path for pattern in patterns for path in folder.glob(pattern))


def _meta(folder: Path) -> dict[str, dict]:
    return load_json(folder / "meta.json") or {}
