"""The one reader of JSON and the one of YAML: any bytes give a tree that fits, or one clear error.

How to use it. Say what the tree must hold (`disk.tree_schema`), then read:

    content = read_json(path, kind="a merge session", schema=SESSION, advice="--overwrite …")
    content = read_json(path, kind=…, missing_ok=True)        # None if there is no such file
    entry = parse_json(line, what=f"{path}, line 7", kind=…)   # bytes or text that you have
    values = read_yaml(path, kind="settings of frames", texts=True, error=OptionError)
    check_tree(tree, FACTS, what=…, kind=…)                     # a tree of another origin

What is guaranteed of the result: the file was a plain file (no pipe, device, folder) of at most
`limit` bytes, UTF-8 (a byte order mark is allowed); brackets are at most `MAX_DEPTH` deep, so that
any recursive code can walk it; numbers are finite and have at most `MAX_DIGITS` characters, so
that `float()` of an integer works; no key stands twice in one object; the schema holds. YAML has
in addition at most `yaml_tree.MAX_NODES` values after its aliases are expanded, no alias inside of
what it names, and no tags but those of plain values; dates stay text.

Anything else raises `error` (a `DflTfError` class, by default `WorkspaceError`) with a message
that names file, key, what was found and what belongs there, followed by `advice`. Strings may hold
lone surrogates (file names that are not UTF-8) and control characters: they are escaped where
they are shown. Text that is used as a path is free of NUL if the schema is `Text`.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import yaml

from dfl_tf.disk.plain_file import read_plain
from dfl_tf.disk.tree_schema import ANYTHING, MAX_DEPTH, MAX_DIGITS, Schema, errors_of, joined
from dfl_tf.disk.yaml_tree import composed, yaml_reason, yaml_value
from dfl_tf.errors import DflTfError, WorkspaceError

MAX_BYTES = 64 << 20
MAX_YAML_BYTES = 1 << 20

# JSON of many small values takes up to 30 times its size in memory: refused before it is parsed
_MOST = {"{": 4 << 20, "[": 12 << 20, ",": 40 << 20}

_CHUNK = 16 << 20
_SAME_DIGIT = bytes.maketrans(b"123456789E", b"000000000e")
# of the digits before the point, after it and in the exponent, one run must be as long as this
_SUSPICIOUS = (b"0" * (MAX_DIGITS // 3 - 1), b"e000", b"e+000")

_Tree = TypeVar("_Tree")


@dataclass(frozen=True)
class _Origin:
    """Whose tree it is, for the message."""

    what: str
    kind: str
    error: type[DflTfError]
    advice: str

    def as_error(self, reason: object) -> DflTfError:
        text = f"{self.what}: cannot be read as {self.kind}: {str(reason).rstrip('.')[:600]}."
        return self.error(f"{text} {self.advice}".rstrip())

    def checked(self, tree: _Tree, schema: Schema) -> _Tree:
        problems = errors_of(tree, schema)
        if problems:
            raise self.as_error(joined(problems))
        return tree


def read_json(
    path: Path,
    *,
    kind: str,
    schema: Schema = ANYTHING,
    error: type[DflTfError] = WorkspaceError,
    limit: int = MAX_BYTES,
    advice: str = "",
    missing_ok: bool = False,
) -> Any:
    """Read a JSON file; see the module's text for what is guaranteed.

    Parameters
    ----------
    path : Path
    kind : str
        What it is for people, with its article: "a merge session".
    schema : Schema
        What the tree must hold.
    error : type
        Class of the error that is raised.
    limit : int
        Bytes; a larger file is refused before it is read.
    advice : str
        What to do about a file that cannot be read: a whole sentence, the end of the message.
    missing_ok : bool
        Return None if there is no such file.

    Raises
    ------
    DflTfError
        Of the class `error`.
    """
    origin = _Origin(str(path), kind, error, advice)
    data = _bytes_of(path, origin, limit, missing_ok)
    return None if data is None else _parsed_json(data, origin, schema)


def parse_json(
    data: bytes | str,
    *,
    what: str,
    kind: str,
    schema: Schema = ANYTHING,
    error: type[DflTfError] = WorkspaceError,
    advice: str = "",
) -> Any:
    """Parse JSON that was read already (a line, a header); like `read_json`, `what` names it.

    Raises
    ------
    DflTfError
        Of the class `error`.
    """
    return _parsed_json(data, _Origin(what, kind, error, advice), schema)


def check_tree(
    tree: object,
    schema: Schema,
    *,
    what: str,
    kind: str,
    error: type[DflTfError] = WorkspaceError,
    advice: str = "",
) -> Any:
    """Return a tree of another origin (an unpickled one, a part of a parsed one) if it fits.

    Raises
    ------
    DflTfError
        Of the class `error`.
    """
    return _Origin(what, kind, error, advice).checked(tree, schema)


def read_yaml(
    path: Path,
    *,
    kind: str,
    schema: Schema = ANYTHING,
    error: type[DflTfError] = WorkspaceError,
    limit: int = MAX_YAML_BYTES,
    advice: str = "",
    texts: bool = False,
) -> Any:
    """Read a YAML (or JSON) file, one document; like `read_json`. An empty file is None.

    With `texts`, every value stays the text that is written: 00012 and 1:100 are not numbers.

    Raises
    ------
    DflTfError
        Of the class `error`.
    """
    origin = _Origin(str(path), kind, error, advice)
    node = read_yaml_nodes(path, kind=kind, error=error, limit=limit, advice=advice)
    try:
        tree = None if node is None else yaml_value(node, texts=texts)
        return origin.checked(tree, schema)
    except ValueError as problem:
        raise origin.as_error(problem) from None


def read_yaml_nodes(
    path: Path,
    *,
    kind: str,
    error: type[DflTfError] = WorkspaceError,
    limit: int = MAX_YAML_BYTES,
    advice: str = "",
) -> yaml.Node | None:
    """Read a YAML file as nodes, which know their lines; `yaml_value` makes values of them.

    Raises
    ------
    DflTfError
        Of the class `error`.
    """
    origin = _Origin(str(path), kind, error, advice)
    data = _bytes_of(path, origin, limit, missing_ok=False)
    assert data is not None
    try:
        # libyaml takes a twentieth of the time of the parser in Python
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        return composed(yaml.parse(_text(data), Loader=loader))
    except yaml.YAMLError as problem:
        raise origin.as_error(yaml_reason(problem)) from None
    except (ValueError, RecursionError, MemoryError) as problem:
        raise origin.as_error(str(problem) or type(problem).__name__) from None


def _bytes_of(path: Path, origin: _Origin, limit: int, missing_ok: bool) -> bytes | None:
    try:
        return read_plain(path, limit=limit)
    except FileNotFoundError as problem:
        if missing_ok:
            return None
        raise origin.as_error(f"{problem.strerror}") from None
    except OSError as problem:
        raise origin.as_error(problem.strerror or problem) from None
    except ValueError as problem:  # a NUL in the path
        raise origin.as_error(problem) from None
    except MemoryError:
        raise origin.as_error("it does not fit into memory") from None


def _text(data: bytes | str) -> str:
    if isinstance(data, str):
        return data
    try:
        # names that are not UTF-8 are lone surrogates in Python, and were written as such
        return data.decode("utf-8", "surrogatepass").removeprefix("\ufeff")
    except UnicodeDecodeError as problem:
        raise ValueError(f"byte {problem.start} is not UTF-8 text; save it as UTF-8") from None


def _parsed_json(data: bytes | str, origin: _Origin, schema: Schema) -> Any:
    try:
        text = _text(data)
        if any(text.count(sign) > most for sign, most in _MOST.items()):
            raise ValueError("it holds more values than fit into memory")
        # a function call for every number of a large file takes longer than all the rest
        look = _suspicious(text)
        tree = json.JSONDecoder(
            object_pairs_hook=_unique,
            parse_constant=_no_number,
            parse_int=_integer if look else None,
            parse_float=_finite if look else None,
        ).decode(text)
        _check_depth(tree)
    except json.JSONDecodeError as problem:
        reason = "it is empty" if not text.strip() else f"line {problem.lineno}: {problem.msg}"
        raise origin.as_error(reason) from None
    except RecursionError:
        raise origin.as_error(f"it is nested more than {MAX_DEPTH} deep") from None
    except MemoryError:
        raise origin.as_error("it does not fit into memory") from None
    except ValueError as problem:
        raise origin.as_error(problem) from None
    return origin.checked(tree, schema)


def _suspicious(text: str) -> bool:
    """Whether any number may be infinite or long, seen without parsing."""
    for start in range(0, len(text), _CHUNK):
        part = text[start : start + _CHUNK + MAX_DIGITS].encode("utf-8", "surrogatepass")
        folded = part.translate(_SAME_DIGIT)
        if any(sign in folded for sign in _SUSPICIOUS):
            return True
    return False


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"{twice[:60]} is given twice")
    return made


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a finite number")


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"a number of {len(text)} digits; at most {MAX_DIGITS} are read")
    return int(text)


def _finite(text: str) -> float:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"a number of {len(text)} digits; at most {MAX_DIGITS} are read")
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is not a finite number")
    return value


def _check_depth(tree: object) -> None:
    level, depth = [tree] if isinstance(tree, list | dict) else [], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise ValueError(f"it is nested more than {MAX_DEPTH} deep")
        level = [
            item
            for node in level
            for item in (node.values() if isinstance(node, dict) else node)
            if isinstance(item, list | dict)
        ]
