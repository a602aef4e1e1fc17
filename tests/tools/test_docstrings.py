"""Docstrings of what takes or returns arrays say which: shape, and dtype where NumPy's.

Nothing is imported: the sources are parsed. A type counts as an array if its annotation names
`NDArray`, `ArrayLike`, `tf.Tensor` or an alias of these, wherever the alias is defined.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import ClassVar

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {"dfl_tf": ROOT / "dfl_tf", "dfl_tf_ops": ROOT / "ops" / "dfl_tf_ops"}

# The length of an axis: a number, a letter that is not a coordinate, or one of these words.
_WORDS = (
    r"height|width|size|side|resolution|dims|res|channels|batch|steps|count|length|blocks|units"
    r"|iterations|features|rows|columns|frames|losses|bins|samples|tracks|in|out|mid|…|\.\.\."
    r"|sum of widths|losses of the last row|pitch cells|yaw cells|\*region\.shape"
)
_LENGTH = rf"(?:\d+|[a-wA-W]'?|(?:\w+_)?(?:{_WORDS}))"
_AXIS = rf"(?:\d\s?)?{_LENGTH}(?:(?:\s?[-+*/·]{{1,2}}\s?|\s){_LENGTH})*"
SHAPE = re.compile(
    rf"\((?:{_AXIS},\s?)+(?:{_AXIS})?(?:\[, \w+\])?\)"
    r"|\bshapes? (?:of\b|`)|\b(?:any|same|one|its) shape\b"
    r"|\bscalar (?:tensor|float|int|bool|of)|\bfloat32 scalar"
)
DTYPE = re.compile(r"\b(?:b?float(?:16|32|64)|u?int(?:8|16|32|64)|bool(?:ean)?|dtypes?)\b")
REFERENCE = re.compile(
    r"(?:\b[Ss]ee|\b[Aa]s (?:in|for|of|by|to)|[Tt]win of)\s+"
    r"(?:`((?!cv2|numpy|np|tf)[\w.]+)`|the (module))"
)


def is_public(name: str) -> bool:
    return not name.startswith("_") or name == "__call__"


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of the packages by its dotted name."""
    found = {}
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            name = ".".join((package, *(p for p in parts if p != "__init__")))
            found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def _statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """Those of a module, and those that are for type checkers only."""
    for node in tree.body:
        yield node
        if isinstance(node, ast.If):
            yield from node.body


class ArrayTypes:
    """Which names of which module stand for arrays, for what becomes one, or for tensors.

    Parameters
    ----------
    trees : dict
        Modules by name.
    functions : bool
        Whether the type of a function counts as the arrays that it takes and returns.
    """

    BUILT_IN: ClassVar = {"NDArray": "array", "ArrayLike": "like", "Tensor": "tensor"}

    def __init__(self, trees: dict[str, ast.Module], *, functions: bool):
        self._functions = functions
        self._bindings = {name: dict(self._bound(tree)) for name, tree in trees.items()}

    @staticmethod
    def _bound(tree: ast.Module) -> Iterator[tuple[str, ast.expr | tuple[str, str]]]:
        """Names that a module defines as another expression, or imports from another module."""
        for node in _statements(tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    yield alias.asname or alias.name, (node.module, alias.name)
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                yield node.targets[0].id, node.value

    def kinds(self, module: str, annotation: ast.expr, depth: int = 0) -> set[str]:
        """What an annotation of a module holds."""
        found: set[str] = set()
        for node in self._within(annotation):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                try:
                    text = ast.parse(node.value, mode="eval").body
                except SyntaxError:
                    continue
                if depth < 9:
                    found |= self.kinds(module, text, depth + 1)
            name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", None)
            if name in self.BUILT_IN:
                found.add(self.BUILT_IN[name])
            elif isinstance(node, ast.Name) and depth < 9:
                found |= self._kinds_of_name(module, node.id, depth + 1)
        return found

    def kinds_of(self, module: str, annotations: dict[str, ast.expr]) -> set[str]:
        """What several annotations of a module hold."""
        return set().union(*(self.kinds(module, each) for each in annotations.values()))

    def _within(self, node: ast.AST) -> Iterator[ast.AST]:
        function = isinstance(node, ast.Subscript) and ast.unparse(node.value) == "Callable"
        if function and not self._functions:
            return
        yield node
        for child in ast.iter_child_nodes(node):
            yield from self._within(child)

    def _kinds_of_name(self, module: str, name: str, depth: int) -> set[str]:
        bound = self._bindings.get(module, {}).get(name)
        if bound is None:
            return set()
        if isinstance(bound, tuple):
            if bound[1] in self.BUILT_IN:
                return {self.BUILT_IN[bound[1]]}
            return self._kinds_of_name(*bound, depth + 1) if depth < 9 else set()
        if not isinstance(bound, (ast.Name, ast.Attribute, ast.Subscript, ast.BinOp)):
            return set()
        return self.kinds(module, bound, depth)


def is_overload(function: ast.FunctionDef) -> bool:
    """Whether this is one of several signatures; the function that follows has the text."""
    return any(isinstance(d, ast.Name) and d.id == "overload" for d in function.decorator_list)


def functions(
    node: ast.Module | ast.ClassDef, above: str = ""
) -> Iterator[tuple[str, ast.FunctionDef, ast.ClassDef | None]]:
    """Public functions and methods with their qualified names and classes."""
    for child in node.body:
        if isinstance(child, ast.ClassDef) and is_public(child.name):
            yield from functions(child, f"{above}{child.name}.")
        elif (
            isinstance(child, ast.FunctionDef) and is_public(child.name) and not is_overload(child)
        ):
            yield f"{above}{child.name}", child, node if isinstance(node, ast.ClassDef) else None


def classes(
    node: ast.Module | ast.ClassDef, above: str = ""
) -> Iterator[tuple[str, ast.ClassDef, str]]:
    """Public classes with their qualified names and docstrings."""
    for child in node.body:
        if isinstance(child, ast.ClassDef) and is_public(child.name):
            yield f"{above}{child.name}", child, ast.get_docstring(child) or ""
            yield from classes(child, f"{above}{child.name}.")


def arguments(function: ast.FunctionDef) -> dict[str, ast.expr]:
    named = function.args
    every = [*named.posonlyargs, *named.args, *named.kwonlyargs, named.vararg, named.kwarg]
    return {a.arg: a.annotation for a in every if a is not None and a.annotation is not None}


def fields(node: ast.ClassDef) -> dict[str, ast.expr]:
    """Public fields of a class, and what its constructor takes."""
    found = {}
    for child in node.body:
        if isinstance(child, ast.AnnAssign) and isinstance(child.target, ast.Name):
            found[child.target.id] = child.annotation
        elif isinstance(child, ast.FunctionDef) and child.name == "__init__":
            found |= arguments(child)
    return {name: annotation for name, annotation in found.items() if is_public(name)}


def lacks(text: str, kinds: set[str]) -> list[str]:
    """Which words a docstring still owes for arrays and tensors."""
    owed = [] if SHAPE.search(text) else ["shape"]
    return owed + (["dtype"] if "array" in kinds and not DTYPE.search(text) else [])


def attribute_entry(owner: ast.ClassDef | None, name: str) -> str:
    """What the docstring of a class says of one attribute."""
    text = (owner and ast.get_docstring(owner)) or ""
    entry = re.search(rf"^[\w, ]*\b{name}\b[\w, ]* : .*(?:\n +.*)*", text, re.MULTILINE)
    return entry.group() if entry else ""


def section(text: str, title: str) -> str:
    """One section of a numpydoc docstring, empty if it is not there."""
    found = re.search(rf"^{title}\n-+\n(.*?)(?=^\w[\w ]*\n-+\n|\Z)", text, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


def pieces(
    trees: dict[str, ast.Module],
) -> Iterator[tuple[str, str, str, set[str]]]:
    """What must say its arrays: module, name, docstring, and what it takes and returns.

    Classes; functions as a whole; and, of those with a section of parameters, each of these and
    the result.
    """
    types, all_types = ArrayTypes(trees, functions=False), ArrayTypes(trees, functions=True)
    for module, tree in trees.items():
        for name, node, text in classes(tree):
            yield module, name, text, types.kinds_of(module, fields(node))
        for name, function, owner in functions(tree):
            text = ast.get_docstring(function) or ""
            whole = text + attribute_entry(owner, function.name)
            made = {"result": function.returns} if function.returns else {}
            known = arguments(function) | made
            yield module, name, whole, all_types.kinds_of(module, known)
            entries = re.split(r"^(?=\S)", section(text, "Parameters"), flags=re.MULTILINE)
            heads = {entry.split("\n")[0].split(" :")[0]: entry for entry in entries if entry}
            for argument, annotation in arguments(function).items() if heads else ():
                own = [e for head, e in heads.items() if re.search(rf"\b{argument}\b", head)]
                kinds = types.kinds(module, annotation)
                yield module, f"{name}({argument})", own[0] if own else "", kinds
            returned = section(text, "Returns")
            if returned:
                yield module, f"{name}(result)", returned, types.kinds_of(module, made)


def violations(trees: dict[str, ast.Module]) -> list[str]:
    """Public functions and classes that take or return arrays and do not say which."""
    found = []
    defined = {
        node.name
        for tree in trees.values()
        for top in tree.body
        if isinstance(top, (ast.FunctionDef, ast.ClassDef))
        for node in (top, *(top.body if isinstance(top, ast.ClassDef) else ()))
        if isinstance(node, (ast.FunctionDef, ast.ClassDef))
    }
    for module, name, text, kinds in pieces(trees):
        owed = lacks(text, kinds) if kinds else []
        reference = REFERENCE.search(text) if owed else None
        if reference and reference[1]:
            if reference[1].rsplit(".", 1)[-1] not in defined:
                found.append(f"{module}.{name} refers to {reference[1]}: not there")
            continue
        if reference:
            owed = lacks(ast.get_docstring(trees[module]) or "", kinds)
        if owed:
            found.append(f"{module}.{name} does not say {' and '.join(owed)}")
    return found


def test_docstrings_say_shape_and_dtype_of_arrays():
    assert violations(modules()) == []


IMAGES = '''
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]


def crop(image: Image) -> Image:
    """Cut."""
'''


def checked(docstring: str, *, annotation: str = "Image") -> list[str]:
    """The violations of one function, in a module that imports its type from another."""
    source = f'''
import tensorflow as tf
from dfl_tf.images import Image

def draw(image: "{annotation}", name: str) -> None:
    """{docstring}"""
'''
    trees = {"dfl_tf.images": ast.parse(IMAGES), "dfl_tf.drawing": ast.parse(source)}
    return [found for found in violations(trees) if "drawing" in found]


@pytest.mark.parametrize(
    "docstring",
    [
        "Draw into an image, shape (h, w, 3), uint8.",
        "Draw into an image (height, width, 2 * c), uint8, BGR.",
        "Draw into an array of any shape and dtype.",
        "Draw; see `crop`.",
        "Draw; as in `images.crop`.",
    ],
)
def test_a_docstring_that_says_both_passes(docstring):
    assert checked(docstring) == []


@pytest.mark.parametrize(
    ("docstring", "owed"),
    [
        ("Draw.", "does not say shape and dtype"),
        ("Draw into a uint8 image; the shapes differ.", "does not say shape"),
        ("Draw from (left, top) to (x, y), uint8.", "does not say shape"),
        ("Draw into an image, shape (h, w, 3).", "does not say dtype"),
        ("Draw; see `croup`.", "refers to croup: not there"),
        ("Draw, as for `cv2.line`.", "does not say shape and dtype"),
    ],
)
def test_a_docstring_that_says_less_is_found(docstring, owed):
    assert checked(docstring) == [f"dfl_tf.drawing.draw {owed}"]


def test_each_parameter_says_its_own():
    text = """Draw into an image, shape (h, w, 3).

    Parameters
    ----------
    image : ndarray, uint8
    name : str
    """
    assert checked(text) == ["dfl_tf.drawing.draw(image) does not say shape"]
    assert checked(text.replace("ndarray", "ndarray, shape (h, w, 3)")) == []


def test_a_class_says_the_shapes_of_its_fields():
    source = '''
import numpy.typing as npt

class Face:
    """A face."""

    points: npt.NDArray[np.float64]
'''
    owed = ["dfl_tf.face.Face does not say shape and dtype"]
    assert violations({"dfl_tf.face": ast.parse(source)}) == owed


def test_of_a_tensor_the_shape_is_enough_and_other_types_need_nothing():
    assert checked("Draw (n, h, w, 3).", annotation="tf.Tensor") == []
    assert checked("Draw.", annotation="tf.Tensor") == ["dfl_tf.drawing.draw does not say shape"]
    assert checked("Draw.", annotation="str") == []
