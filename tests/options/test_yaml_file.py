"""Config files: flat, nested, line numbers, round trip."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dfl_tf.errors import OptionError
from dfl_tf.options import (
    AMPOptions,
    MergeOptions,
    Options,
    OptionSpec,
    Quick96Options,
    RunOptions,
    SAEHDOptions,
    XSegOptions,
    default,
    from_mapping,
    resolve,
    specs,
    to_legacy,
)
from dfl_tf.options.yaml_file import dump, read_layer


def write(folder: Path, text: str, name: str = "config.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_flat_and_nested_files_are_the_same(tmp_path: Path) -> None:
    flat = write(tmp_path, "ae_dims: 128\nclipgrad: yes\nlr_dropout: n\narchi: df-ud\n", "a.yaml")
    nested = write(
        tmp_path,
        "model:\n  ae_dims: 128\n  archi: df-ud\ntraining:\n  deep:\n    clipgrad: y\n"
        "  lr_dropout: no\n",
        "b.yaml",
    )
    first, second = (resolve(SAEHDOptions, [read_layer(path)]).options for path in (flat, nested))
    assert first == second
    assert (first.ae_dims, first.clipgrad, first.lr_dropout, first.archi) == (
        128,
        True,
        "n",
        "df-ud",
    )


@pytest.mark.parametrize("word", ["y", "yes", "true", "on", "1", "True", "ON"])
def test_words_for_yes(tmp_path: Path, word: str) -> None:
    layer = read_layer(write(tmp_path, f"clipgrad: {word}\n"))
    assert resolve(SAEHDOptions, [layer]).options.clipgrad is True


def test_errors_name_file_and_line(tmp_path: Path) -> None:
    layer = read_layer(write(tmp_path, "# comment\nrun:\n  gan_power: 12.0\nae_dms: 4\n"))
    with pytest.raises(OptionError) as caught:
        resolve(SAEHDOptions, [layer])
    assert "gan_power=12.0 is outside 0 … 10 (from config.yaml, line 3)" in str(caught.value)
    assert 'did you mean "ae_dims"? (from config.yaml, line 4)' in str(caught.value)


def test_json_and_empty_files(tmp_path: Path) -> None:
    layer = read_layer(write(tmp_path, '{"ae_dims": 64, "clipgrad": true}', "c.json"))
    assert dict(layer.values) == {"ae_dims": 64, "clipgrad": True}
    assert dict(read_layer(write(tmp_path, "# nothing\n")).values) == {}


BILLIONS = "".join(f"a{n + 1}: &a{n + 1} [*a{n}, *a{n}]\n" for n in range(40))


@pytest.mark.parametrize(
    "text",
    [
        "- a\n- b\n",
        "just text\n",
        "a: [1\n",
        "!!python/object:os.x {}\n",
        "a: \x00\n",
        "a: " + "[" * 2000,
        "a: .nan\n",
        'a: "\\0"\n',
        "a: " + "9" * 10_000 + "\n",
        "a0: &a0 1\n" + BILLIONS,
        "# " + "x" * 2_000_000,
    ],
    ids=lambda text: text[:12],
)
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(OptionError, match=r"config\.yaml"):
        read_layer(write(tmp_path, text))


def test_numbers_and_dates_stay_text_where_text_belongs(tmp_path: Path) -> None:
    layer = read_layer(write(tmp_path, "pretraining_data_dir: 010\nworkspace: 2024-01-02\nn: 8\n"))
    assert dict(layer.values) == {"pretraining_data_dir": 8, "workspace": "2024-01-02", "n": 8}
    assert layer.texts["pretraining_data_dir"] == "010"
    path = write(tmp_path, "cluster: 010\n")
    assert resolve(RunOptions, [read_layer(path)]).options.cluster == "010"


def test_a_key_with_two_values_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"clipgrad is given twice: config\.yaml, line 2 and"):
        read_layer(write(tmp_path, "a:\n  clipgrad: y\nb:\n  clipgrad: n\n"))


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="cannot be read as options"):
        read_layer(tmp_path / "none.yaml")


@pytest.mark.parametrize("explain", [True, False])
@pytest.mark.parametrize(
    "options",
    [
        default(SAEHDOptions, archi="df-udt", resolution=224, lr_dropout="cpu", gan_power=0.1),
        default(AMPOptions, train_inters=True),
        default(Quick96Options),
        default(XSegOptions, face_type="head"),
        RunOptions(reinit=("inter_B", "GAN"), seed=3, devices="0,1"),
        RunOptions(),
        MergeOptions(mode="raw-rgb", mask_mode="full"),
    ],
    ids=lambda options: type(options).__name__,
)
def test_written_files_read_back(tmp_path: Path, options: Options, explain: bool) -> None:
    path = write(tmp_path, dump(options, explain=explain))
    assert resolve(type(options), [read_layer(path)], strict=True).options == options


def test_written_files_explain(tmp_path: Path) -> None:
    text = dump(default(SAEHDOptions))
    assert "# Width of the bottleneck. Allowed: 32 … 2048. Default: 256." in text
    assert "Fixed after the first iteration." in text.replace("\n# ", " ")


def values_of(cls: type[Options]) -> st.SearchStrategy[dict[str, object]]:
    """Any values that a class of options allows without rounding."""

    def one(spec: OptionSpec) -> st.SearchStrategy[object]:
        if spec.kind is bool:
            return st.booleans()
        if spec.choices:
            return st.sampled_from(spec.choices)
        step = spec.multiple_of or (2 if spec.even else 1)
        low, high = spec.minimum or 0, spec.maximum if spec.maximum is not None else 10**6
        if spec.kind is int:
            return st.integers(int(-(-low // step)), int(high // step)).map(lambda n: n * step)
        if spec.kind is float:
            return st.floats(low, high, allow_nan=False)
        return st.just(spec.default)

    table = specs(cls).values()
    values = st.fixed_dictionaries({}, optional={spec.key: one(spec) for spec in table})
    # a schedule must have an end
    return values.map(lambda v: {**v, "lr_end": 9} if v.get("lr_schedule") == "cosine" else v)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(values=values_of(AMPOptions), explain=st.booleans())
def test_any_values_survive_the_file(
    tmp_path: Path, values: dict[str, object], explain: bool
) -> None:
    options = default(AMPOptions, **values)
    path = write(tmp_path, dump(options, explain=explain))
    assert resolve(AMPOptions, [read_layer(path)], strict=True).options == options


@settings(max_examples=40, deadline=None)
@given(values=values_of(AMPOptions))
def test_any_values_survive_the_legacy_dictionary(values: dict[str, object]) -> None:
    options = default(AMPOptions, **values)
    again, unknown = from_mapping(AMPOptions, to_legacy(options), origin="x", unknown="keep")
    assert (again, unknown) == (options, {})
