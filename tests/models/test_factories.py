"""A user's factory makes a network, or the error names the cause, the line and a remedy that fits."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from benchbox.errors import ArtifactError, BenchboxError, EnvironmentLackError, UsageError
from benchbox.models.factories import made_by_factory

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


def test_an_interrupt_stays_one(write: Callable[[str], None]) -> None:
    write("def net(): raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        made_by_factory(f"{MODULE}:net")
