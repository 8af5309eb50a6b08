"""A sweep's file: which cases it means, and every error at once with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchbox.errors import UsageError
from benchbox.fleet.sweep_file import Require, sweep_from_text, sweep_of

SMALL = '[sweep]\nmodels = ["lenet5", "vgg16"]\nbackends = ["onnxruntime"]\nbatches = [1, 8]\n'


def test_the_matrix_less_the_excluded_plus_the_included() -> None:
    more = '[[sweep.exclude]]\nmodel = "vgg*"\nbatch = [8, 16]\n'
    more += '[[sweep.include]]\nmodel = "a.onnx"\nbackend = "openvino"\n'
    titles = [case.title for case in sweep_from_text(SMALL + more, origin="x").cases()]
    assert titles == [
        "lenet5 onnxruntime b1",
        "lenet5 onnxruntime b8",
        "vgg16 onnxruntime b1",
        "a.onnx openvino",
    ]


def test_excludes_see_what_was_settled() -> None:
    sweep = sweep_from_text(SMALL + '[[sweep.exclude]]\nprecision = "int8"\nmodel = "vgg16"\n', origin="x")
    int8 = sweep.cases(lambda case: case.model_copy(update={"precision": "int8"}))
    assert [case.title for case in int8] == ["lenet5 onnxruntime int8 b1", "lenet5 onnxruntime int8 b8"]


def test_a_case_is_measured_once_however_often_it_is_named() -> None:
    again = '[[sweep.include]]\nmodel = "lenet5"\nbackend = "onnxruntime"\nbatch = 8\n'
    assert len(sweep_from_text(SMALL + again, origin="x").cases()) == 4


def test_a_pattern_takes_a_list_of_names() -> None:
    some = '[[sweep.exclude]]\nmodel = ["vgg*", "alexnet"]\nbackend = ["openvino", "onnxruntime"]\n'
    assert [case.model for case in sweep_from_text(SMALL + some, origin="x").cases()] == ["lenet5", "lenet5"]


def test_a_pattern_without_keys_means_nothing() -> None:
    assert len(sweep_from_text(SMALL + "[[sweep.exclude]]\n", origin="x").cases()) == 4


def test_all_errors_at_once_with_their_lines() -> None:
    text = (
        '[sweep]\nmodels = ["lenet5"]\nbackends = ["onnxruntim"]\nbatchs = [1]\nprecisions = ["fp32", "int9"]\n'
        "processes = 0\n[[sweep.exclude]]\nbach = 3\n"
    )
    with pytest.raises(UsageError) as raised:
        sweep_from_text(text, origin="x.toml")
    lines = raised.value.values.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["line 3", "line 4", "line 5", "line 6", "line 8"]
    assert "'onnxruntime'" in lines[0]
    assert "did you mean 'batches'?" in lines[1]
    assert "did you mean 'int8'?" in lines[2]
    assert "did you mean 'batch'?" in lines[4]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[sweep\n", "is not TOML"),
        ("", "is not a sweep"),
        ('[sweep]\nmodels = []\nbackends = ["onnxruntime"]\n', "is not a sweep"),
        (SMALL + '[[sweep.exclude]]\nmodel = "*"\n', "the matrix of x is empty"),
        (SMALL + "processes = 5\n", "processes do not divide into passes"),
        (SMALL + "batches = [1]\n", "is not TOML"),
    ],
)
def test_what_is_no_sweep_is_refused(text: str, words: str) -> None:
    with pytest.raises(UsageError) as raised:
        sweep_from_text(text, origin="x")
    assert words in raised.value.what
    assert raised.value.remedy


def test_its_name_is_the_files(tmp_path: Path) -> None:
    file = tmp_path / "my nightly é.toml"
    file.write_text(SMALL, encoding="utf-8")
    assert sweep_of(file).name == "my-nightly--"
    with pytest.raises(UsageError, match="the sweep cannot be read"):
        sweep_of(tmp_path / "none.toml")


def test_its_digest_is_of_what_it_says() -> None:
    same = SMALL.replace('"lenet5", "vgg16"', '"lenet5",   "vgg16"')
    assert sweep_from_text(SMALL, origin="x").sha256 == sweep_from_text(same, origin="y").sha256
    assert sweep_from_text(SMALL, origin="x").sha256 != sweep_from_text(SMALL + "seed = 1\n", origin="x").sha256


def test_a_machine_is_what_is_asked_for_or_not() -> None:
    require = Require(cpu="AMD*", machine="*-2cpus")
    assert require.lacks({"cpu": "amd EPYC", "machine": "amd-epyc-2cpus"}) == []
    assert require.lacks({"cpu": "Intel", "machine": "intel-2cpus"}) == ["cpu is 'Intel', not 'AMD*'"]
    assert Require(gpu="*H100*").lacks({}) == ["gpu is '', not '*H100*'"]


def test_int4_needs_a_converter_that_sweeps_do_not_name() -> None:
    with pytest.raises(UsageError) as raised:
        sweep_from_text(SMALL + 'precisions = ["int4"]\n', origin="x")
    assert "--precision int4 --converter modelopt" in raised.value.values
