from pathlib import Path


def cases(folder: Path):
    return []


def run(folder, group, rest):
    return []
