"""One reader of JSON and one of YAML: a tree that fits, or one clear error."""

import json
import os
import re
from pathlib import Path

import pytest

from dfl_tf.disk import guarded
from dfl_tf.disk.tree_schema import (
    ANYTHING,
    Array,
    Boolean,
    Integer,
    Number,
    Optional,
    Record,
    Row,
    Table,
    Text,
    errors_of,
)
from dfl_tf.errors import DflTfError, ModelFileError, WorkspaceError

BAD_JSON = {
    "empty": (b"", "it is empty"),
    "cut": (b'{"a": [1, 2', "line 1"),
    "deep": (b"[" * 100_000, "nested"),
    "just too deep": (b"[" * 65 + b"]" * 65, "nested more than 64"),
    "deep in a string's shadow": (b'["]]]]]]]]",' * 70 + b"1" + b"]" * 70, "nested"),
    "NaN": (b'{"a": NaN}', "NaN is not a finite number"),
    "minus infinity": (b"[-Infinity]", "-Infinity is not a finite number"),
    "infinite by its exponent": (b"[1e999]", "1e999 is not a finite number"),
    "infinite by a signed exponent": (b"[1E+400]", "1E+400 is not a finite number"),
    "many digits": (b"[" + b"7" * 100_000 + b"]", "a number of 100000 digits"),
    "many digits after the point": (b"[0." + b"7" * 500 + b"]", "a number of 502 digits"),
    "key twice": (b'{"a": {"b": 1, "b": 2}}', "b is given twice"),
    "not UTF-8": (b'{"\xff": 1}', "byte 2 is not UTF-8"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "byte 0 is not UTF-8"),
    "two values": (b"{} {}", "line 1: Extra data"),
}


@pytest.mark.parametrize("name", BAD_JSON)
def test_bad_json_is_one_clear_error_with_file_reason_and_advice(name, tmp_path):
    data, reason = BAD_JSON[name]
    path = tmp_path / "facts.json"
    path.write_bytes(data)
    with pytest.raises(ModelFileError) as caught:
        guarded.read_json(path, kind="facts", error=ModelFileError, advice="Remove it.")
    text = str(caught.value)
    assert text.startswith(f"{path}: cannot be read as facts: ")
    assert reason in text
    assert text.endswith(". Remove it.")
    assert len(text) < 300 + len(str(path))


def test_good_json_is_what_the_standard_library_reads(tmp_path):
    value = {"a": [1, -2.5e-300, 1e300, True, None, "ü\x1b"], "\udcff": {"": 10**39}, "b": []}
    for coded in (json.dumps(value), "\ufeff" + json.dumps(value, ensure_ascii=False)):
        data = coded.encode("utf-8", "surrogatepass")
        assert guarded.parse_json(data, what="x", kind="facts") == value
    deepest = b"[" * guarded.MAX_DEPTH + b"]" * guarded.MAX_DEPTH
    assert guarded.parse_json(deepest, what="x", kind="facts") == json.loads(deepest)


def test_long_numbers_are_found_across_the_pieces_that_are_looked_through(monkeypatch):
    monkeypatch.setattr(guarded, "_CHUNK", 64)
    for offset in range(70):
        data = b"[" + b" " * offset + b"1e999]"
        with pytest.raises(WorkspaceError, match="not a finite number"):
            guarded.parse_json(data, what="x", kind="facts")


def test_a_large_file_a_folder_a_pipe_and_a_missing_file_are_refused(tmp_path):
    large, pipe = tmp_path / "large.json", tmp_path / "pipe.json"
    large.write_bytes(b"[" + b" " * 100 + b"]")
    os.mkfifo(pipe)
    for path, reason in (
        (large, "at most 50"),
        (tmp_path, "not a regular file"),
        (pipe, "not a regular file"),
        (tmp_path / "missing.json", "No such file"),
    ):
        with pytest.raises(WorkspaceError, match=reason):
            guarded.read_json(path, kind="facts", limit=50)
        if path != large:
            with pytest.raises(WorkspaceError):
                guarded.read_yaml(path, kind="facts")
    missing = tmp_path / "missing.json"
    assert guarded.read_json(missing, kind="facts", missing_ok=True) is None


BAD_YAML = {
    "alias bomb": (
        "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
        + "".join(
            f"{b}: &{b} [{','.join([f'*{a}'] * 10)}]\n"
            for a, b in zip("abcdefg", "bcdefgh", strict=True)
        ),
        "more than 100000 values with its aliases",
    ),
    "alias inside of itself": ("a: &a [*a]", "inside of what it names"),
    "alias of nothing": ("a: *b", "not defined"),
    "deep by aliases": (
        "a0: &a0 []\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 80)),
        "nested more than 64",
    ),
    "many values": ("- 1\n" * 100_001, "more than 100000 values"),
    "deep": ("[" * 200, "nested more than 64"),
    "deeper than libyaml goes": ("[" * 100_000, "nesting depth"),
    "foreign tag": ("a: !!python/object/apply:os.system [ls]", "is not known"),
    "binary": ("a: !!binary aGk=", "is not known"),
    "list as a key": ("? [a]\n: 1", "a key must be text"),
    "key twice": ("a: 1\nb: 2\na: 3", "line 3: a is given twice"),
    "nan": ("a: .nan", ".nan is not a finite number"),
    "infinity": ("a: -.inf", "not a finite number"),
    "base 60 of many digits": ("a: " + ":".join("1" * 10_000), "a number of 19999 digits"),
    "not an int": ("a: !!int zz", "is not a valid int"),
    "two documents": ("a: 1\n---\na: 2", "second document"),
    "tab": ("a:\n\t- 1", "line 2"),
    "control character": ("a: \x1b[2J", "control characters"),
}


@pytest.mark.parametrize("name", BAD_YAML)
def test_bad_yaml_is_one_clear_error(name, tmp_path):
    text, reason = BAD_YAML[name]
    path = tmp_path / "facts.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(WorkspaceError) as caught:
        guarded.read_yaml(path, kind="facts", advice="Mend it.")
    assert str(caught.value).startswith(f"{path}: cannot be read as facts: ")
    assert reason in str(caught.value)
    assert str(caught.value).endswith(". Mend it.")


def test_good_yaml_has_plain_values_and_bounded_aliases(tmp_path):
    path = tmp_path / "facts.yaml"
    path.write_bytes(
        b"\xef\xbb\xbfa: 0x10\nb: &b [1.5, yes, ~, '7']\nc: *b\nd: 2020-01-01\n00012: {e: 1e3}\n"
    )
    made = guarded.read_yaml(path, kind="facts")
    values = [1.5, True, None, "7"]
    assert made == {"a": 16, "b": values, "c": values, "d": "2020-01-01", "00012": {"e": "1e3"}}
    path.write_text("1:100: 5\n")
    assert guarded.read_yaml(path, kind="facts", texts=True) == {"1:100": "5"}
    path.write_text("# nothing\n")
    assert guarded.read_yaml(path, kind="facts") is None


SESSION = Record(
    {"version": Integer(1, 2), "frames": Table(Record({"sizes": Row(Integer(0), Number())}))},
    {"name": Optional(Text()), "on": Boolean(), "form": Text(("a", "b")), "x": Array(Number(), 3)},
)


def test_a_schema_accepts_what_fits():
    tree = {"version": 1, "frames": {"1.png": {"sizes": [0, 2.5]}}, "name": None, "on": False}
    assert errors_of(tree, SESSION) == []
    assert errors_of({**tree, "form": "b", "x": [1, 2, 3]}, SESSION) == []
    assert errors_of(object(), ANYTHING) == []


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"version": 3}, "version is 3; it must be a whole number from 1 to 2"),
        ({"version": True}, "version is true"),
        ({"version": 1.0}, "version is 1.0"),
        ({"frames": 5}, "frames is 5; it must be an object"),
        ({"frames": {"a": 5}}, "frames.a is 5; it must be an object"),
        ({"frames": {"a": {}}}, "frames.a lacks sizes"),
        (
            {"frames": {"a": {"sizes": [1]}}},
            "frames.a.sizes is a list of 1; it must be a list of 2",
        ),
        ({"frames": {"a": {"sizes": [1, "2"]}}}, 'frames.a.sizes[1] is "2"; it must be a finite'),
        ({"frames": {"a": {"sizes": [-1, 2]}}}, "of at least 0"),
        ({"frames": {"a": {"sizes": [1, float("inf")]}}}, "finite"),
        ({"name": "a\0b"}, "name holds a NUL character"),
        ({"name": 1}, "name is 1; it must be text"),
        ({"on": 1}, "on is 1; it must be true or false"),
        ({"form": "c"}, 'form is "c"; it must be one of a, b'),
        ({"x": [1, 2, 3, 4]}, "x has 4 items; at most 3"),
        ({"y": 1}, "y is not known"),
    ],
)
def test_a_schema_names_the_key_and_what_belongs_there(change, error):
    tree = {"version": 1, "frames": {}} | change
    (found,) = errors_of(tree, SESSION)
    assert error in found


def test_all_errors_are_counted_and_the_first_ones_shown():
    tree = {"version": 0, "frames": {str(i): i for i in range(1000)}}
    with pytest.raises(DflTfError) as caught:
        guarded.check_tree(tree, SESSION, what="x", kind="a session")
    assert "version is 0" in str(caught.value)
    assert "; and 1" in str(caught.value)
    assert len(str(caught.value)) < 400


def test_no_other_module_parses_json_or_yaml():
    # what processes of one run tell each other is not a file of anyone else
    own = {
        "bench/fit.py", "devices/worker_group.py", "disk/guarded.py", "merge/tuner/messages.py",
    }  # fmt: skip
    root = Path(guarded.__file__).parents[1]
    parsing = re.compile(r"json\.loads?\(|JSONDecoder\(|yaml\.(safe_|full_)?load|yaml\.parse\(")
    found = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if parsing.search(path.read_text(encoding="utf-8"))
    }
    assert found <= own
