"""A user's factory makes a network, or the error names the cause, the line and a remedy that fits."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from benchbox.errors import ArtifactError, BenchboxError, EnvironmentLackError, NumericsError, SizesError, UsageError
from benchbox.export.exporting import artifact_from_source
from benchbox.models.building import network_from_source
from benchbox.models.factories import made_by_factory
from benchbox.models.sources import resolve
from benchbox.schema.model import Precision

MODULE = "users_net_for_test"


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Writes the user's module into the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def write_module(code: str) -> None:
        Path(f"{MODULE}.py").write_text(f"import torch\n{code}\n")

    yield write_module
    sys.modules.pop(MODULE, None)


def test_a_pair_may_be_a_list(write: Callable[[str], None]) -> None:
    write("def net(): return [torch.nn.Linear(4, 2), torch.zeros(1, 4)]")
    module, example = made_by_factory(f"{MODULE}:net")
    assert isinstance(module, torch.nn.Linear)
    assert example is not None


def test_the_module_of_a_traced_program_is_refused(write: Callable[[str], None]) -> None:
    """It has no eval()."""
    write(
        "def net():\n    x = torch.zeros(1, 4)\n    return torch.export.export(torch.nn.Linear(4, 2), (x,)).module(), x"
    )
    with pytest.raises(UsageError, match=r"the module of a program that torch\.export made"):
        network_from_source(resolve(f"{MODULE}:net", input_shape=None, weights=None), seed=0)


def test_functions_and_classes_make_networks(write: Callable[[str], None]) -> None:
    write("class Net(torch.nn.Linear):\n    def __init__(self, size=4):\n        super().__init__(size, 2)")
    assert isinstance(made_by_factory(f"{MODULE}:Net")[0], torch.nn.Linear)


@pytest.mark.parametrize(
    ("code", "kind", "parts"),
    [
        ("def nets(): pass", UsageError, ["has no attribute 'net'", "did you mean 'nets'?"]),
        ("net = 3", UsageError, ["is not callable", "it is 3, a int"]),
        ("net = torch.nn.Linear(4, 2)", UsageError, ["is a network, not a function", "def make(): return net"]),
        ("def net(size): pass", UsageError, ["without arguments", "net(size)", "def make(): return net(...)"]),
        ("def net(): return {}", UsageError, ["does not return a network", "it returned {}, a dict"]),
        (
            "def net(): return torch.export.export(torch.nn.Linear(4, 2), (torch.zeros(1, 4),))",
            UsageError,
            ["is a program that torch.export made", "return the nn.Module"],
        ),
        ("def net(): return 1 / 0", ArtifactError, ["raised ZeroDivisionError", "line 2: def net(): return 1 / 0"]),
        ("def net():\n    raise SystemExit(0)", ArtifactError, ["raised SystemExit", "line 3: raise SystemExit(0)"]),
        ("raise SystemExit", ArtifactError, [f"importing {MODULE} failed", "SystemExit", "line 2: raise SystemExit"]),
        ("def net(: pass", ArtifactError, [f"importing {MODULE} failed", "SyntaxError", "line 2: def net(: pass"]),
        (
            "import no_such_package.part",
            EnvironmentLackError,
            [f"importing {MODULE} failed", "line 2: import no_such_package.part", "provides 'no_such_package'"],
        ),
        (
            "def net():\n    import no_such_package",
            EnvironmentLackError,
            ["raised ModuleNotFoundError", "line 3: import no_such_package", "provides 'no_such_package'"],
        ),
        (
            "def net():\n    import torch.no_such_part",
            EnvironmentLackError,
            ["install a version of torch that has the module torch.no_such_part"],
        ),
        (
            "def net():\n    return torch.zeros(2).reshape(3)",
            ArtifactError,
            ["raised RuntimeError", "line 3: return torch"],
        ),
    ],
)
def test_the_error_names_the_cause(
    code: str, kind: type[BenchboxError], parts: list[str], write: Callable[[str], None]
) -> None:
    write(code)
    with pytest.raises(kind) as caught:
        made_by_factory(f"{MODULE}:net")
    assert type(caught.value) is kind
    assert [part for part in parts if part not in str(caught.value)] == [], str(caught.value)


@pytest.mark.parametrize("name", ["no_such_module", "no_such_module.part", "json.no_such_part", f"{MODULE}.part"])
def test_a_module_that_is_not_there_is_a_mistake_in_the_command(name: str, write: Callable[[str], None]) -> None:
    write("def net(): pass")
    with pytest.raises(UsageError, match=f"there is no module {name}"):
        made_by_factory(f"{name}:net")


def test_what_it_prints_goes_to_standard_error(
    write: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Standard output holds the command's own document: a line of somebody else's would break it."""
    write(
        "print('imported')\n"
        "class Net(torch.nn.Linear):\n"
        "    def forward(self, x):\n"
        "        print('running')\n"
        "        return super().forward(x)\n"
        "def net():\n"
        "    print('making')\n"
        "    return Net(4, 2), torch.zeros(2, 4)"
    )
    network_from_source(resolve(f"{MODULE}:net", input_shape=None, weights=None), seed=0)
    out, err = capsys.readouterr()
    assert out == ""
    assert [word for word in ("imported", "making", "running") if word not in err] == []


def test_an_interrupt_stays_one(write: Callable[[str], None]) -> None:
    write("def net(): raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        made_by_factory(f"{MODULE}:net")


@pytest.mark.parametrize(
    ("returned", "count"),
    [("{'a': h, 'b': [h, None, 2.5]}", 2), ("(h, h.shape[0], 'x'.isalpha())", 1), ("Pair(h, [h, 1])", 2), ("h", 1)],
    ids=["nested", "numbers", "data class", "tensor"],
)
def test_outputs_are_the_tensors_in_what_it_returns(returned: str, count: int, write: Callable[[str], None]) -> None:
    write(
        "import dataclasses\n"
        "@dataclasses.dataclass\n"
        "class Pair:\n    one: object\n    two: object\n"
        "class Net(torch.nn.Linear):\n    def forward(self, x):\n        h = super().forward(x)\n"
        f"        return {returned}\n"
        "def net(): return torch.nn.DataParallel(Net(4, 2)), {'x': torch.zeros(2, 4)}"
    )
    network = network_from_source(resolve(f"{MODULE}:net", input_shape=None, weights=None), seed=0)
    made = network.module(torch.zeros(3, 4))
    assert len([made] if isinstance(made, torch.Tensor) else made) == count
    assert [given.name for given in network.inputs] == ["x"]
    assert type(network.module).__name__ == "Net"


@pytest.mark.parametrize(
    ("returned", "parts"),
    [
        ("None", [ArtifactError, "returns no tensor"]),
        ("(h, 'text')", [ArtifactError, "returns a str among its outputs"]),
        ("h * 1j", [ArtifactError, "returns complex numbers", "view_as_real"]),
        ("h @ h", [SizesError, "does not run on its example inputs", "line 3: def forward"]),
    ],
    ids=["nothing", "text", "complex", "failure"],
)
def test_what_is_no_output_is_named(returned: str, parts: list[object], write: Callable[[str], None]) -> None:
    write(
        "class Net(torch.nn.Linear):\n"
        f"    def forward(self, x): h = super().forward(x); return {returned}\n"
        "def net(): return Net(4, 2), torch.zeros(3, 4)"
    )
    kind, *words = parts
    with pytest.raises(BenchboxError) as caught:
        network_from_source(resolve(f"{MODULE}:net", input_shape=None, weights=None), seed=0)
    assert type(caught.value) is kind
    assert [word for word in words if word not in str(caught.value)] == [], str(caught.value)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ("torch.jit.script(torch.nn.Linear(4, 2))", "is TorchScript"),
        ("torch.ao.nn.quantized.dynamic.Linear(4, 2)", "is quantised by PyTorch"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_forms_of_a_network_that_no_exporter_follows(made: str, words: str, write: Callable[[str], None]) -> None:
    write(f"def net(): return {made}, torch.zeros(2, 4)")
    with pytest.raises(UsageError, match=words):
        network_from_source(resolve(f"{MODULE}:net", input_shape=None, weights=None), seed=0)


def test_a_network_in_16_bits_is_made_fp32_again(write: Callable[[str], None]) -> None:
    write("def net(): return torch.nn.Linear(4, 2).bfloat16(), torch.zeros(2, 4, dtype=torch.bfloat16)")
    network = network_from_source(resolve(f"{MODULE}:net", input_shape=None, weights=None), seed=0)
    assert network.module.weight.dtype is network.inputs[0].tensor.dtype is torch.float32
    assert "--precision fp16 or bf16" in network.notes[0]


@pytest.mark.parametrize("given", [", torch.zeros(2, 4)", ""], ids=["example in fp32", "shape only"])
def test_inputs_that_were_not_narrowed_are_those_of_a_network_in_16_bits(
    given: str, write: Callable[[str], None]
) -> None:
    write(f"def net(): return torch.nn.Linear(4, 2).half(){given}")
    network = network_from_source(resolve(f"{MODULE}:net", input_shape=None if given else (4,), weights=None), seed=0)
    assert network.module.weight.dtype is network.inputs[0].tensor.dtype is torch.float32
    assert "in 16 bits" in network.notes[0]


MIXED = "torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 2).half())"
CASTS = "class Net(torch.nn.Linear):\n    def forward(self, x): return super().forward(x.half()).float()\n"


def test_weights_of_two_widths_are_not_blamed_on_the_inputs(write: Callable[[str], None], tmp_path: Path) -> None:
    write(f"def net(): return {MIXED}, torch.zeros(2, 4)\ndef bare(): return {MIXED}")
    remedy = r"several types \(2 in float32 and 2 in float16\): .*module.float\(\)"
    with pytest.raises(ArtifactError, match=remedy):
        network_from_source(resolve(f"{MODULE}:net", input_shape=None, weights=None), seed=0)
    source = resolve(f"{MODULE}:bare", input_shape=(4,), weights=None)
    with pytest.raises(ArtifactError, match=remedy):
        artifact_from_source(source, precision=Precision.FP32, root=tmp_path)


def test_a_network_that_casts_inside_stays_and_says_so(write: Callable[[str], None], tmp_path: Path) -> None:
    write(f"{CASTS}def net(): return Net(64, 32).half(), torch.randn(2, 64)")
    source = resolve(f"{MODULE}:net", input_shape=None, weights=None)
    with pytest.raises(NumericsError, match="2 weights are float16, and its forward casts to them"):
        artifact_from_source(source, precision=Precision.FP32, root=tmp_path)
