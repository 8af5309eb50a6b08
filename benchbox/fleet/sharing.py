"""What of a sweep, besides its records, lies in the store, so that every machine can measure it and go on with it?

The plan, and the networks that are ONNX files: ``networks/<network in one word>/<its name>.onnx``, with its external
data beside it. Nothing is ever replaced, and what was fetched is compared with the sha256 that the plan says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from benchbox.errors import ArtifactError, StoreError, UsageError
from benchbox.fleet.objects import Objects
from benchbox.fleet.plan import FOLDER, SweepPlan, Unit, path_of_plan, plan_from_text, text_of_plan, write_plan
from benchbox.fleet.sweep_file import SweepCase
from benchbox.graph.external import external_files
from benchbox.models.sources import name_of_file
from benchbox.schema.identity import network_from
from benchbox.store.artifact_files import sha256_of
from benchbox.store.atomic import draft_of
from benchbox.store.external import external_sha256

_NETWORKS = "networks"


def networks_of(cases: Iterable[SweepCase]) -> dict[str, str]:
    """The networks of cases that are ONNX files on this machine, each in one word, by how they are referred to.

    Raises:
        ArtifactError: a file is damaged, or its external data is missing.
    """
    files = dict.fromkeys(case.model for case in cases if case.model.endswith(".onnx"))
    return {file: _word(Path(file)) for file in files if Path(file).is_file()}


def require_networks(plan: SweepPlan) -> None:
    """Raises UsageError where a file is another network than when the plan was made."""
    now = networks_of(step.case for step in plan.steps)
    if changed := [file for file, word in now.items() if plan.networks.get(file, word) != word]:
        raise UsageError(
            "a network is another one than when the sweep was planned",
            values=f"plan {plan.id}: {', '.join(changed)}",
            remedy="bring the file back to resume it, or start a new sweep without --resume",
        )


def publish(plan: SweepPlan, objects: Objects) -> None:
    """Writes a plan and its networks to a store, unless they are there.

    Raises:
        UsageError: a network is neither here nor there, or its external data lies outside of its folder.
        StoreError: the store cannot be written.
    """
    there = {name for name, _ in objects.names(_NETWORKS)} if plan.networks else set()
    for file, word in plan.networks.items():
        path, place = Path(file), f"{_NETWORKS}/{word}"
        target = f"{place}/{name_of_file(path)}.onnx"
        if target in there:  # it is written last
            continue
        if not path.is_file():
            raise UsageError(
                f"there is no ONNX file {file}",
                values=f"nor {target} in {objects.url}",
                remedy="resume the sweep where it was planned",
            )
        beside = external_files(path)
        if not all(map(_stays_below, beside)):
            raise UsageError(
                f"the external data of {file} does not lie beside it",
                values=", ".join(beside),
                remedy="save it again with the data in the same folder",
            )
        for name in beside:
            objects.write_new(f"{place}/{name}", (path.parent / name).read_bytes())
        objects.write_new(target, path.read_bytes())
    objects.write_new((FOLDER / plan.id / "plan.json").as_posix(), text_of_plan(plan).encode())


def fetch_networks(root: Path, plan: SweepPlan, unit: Unit, objects: Objects) -> dict[str, str]:
    """The networks of a unit that are ONNX files, as paths below a root, by how its cases refer to them.

    Raises:
        StoreError: one is not in the store, is damaged there, or cannot be written here.
    """
    found = {}
    for file in dict.fromkeys(step.case.model for step in unit.steps):
        if file in plan.networks:
            found[file] = str(_fetched(root / _NETWORKS, plan.networks[file], Path(file), objects))
    return found


def _fetched(folder: Path, word: str, file: Path, objects: Objects) -> Path:
    path = folder / word / f"{name_of_file(file)}.onnx"
    if _is_network(path, word):
        return path
    prefix = f"{_NETWORKS}/{word}"
    names = [PurePosixPath(name).relative_to(prefix).as_posix() for name, _ in objects.names(prefix)]
    try:
        for name in filter(_stays_below, names):
            with draft_of(path.parent / name, durable=False) as draft:
                draft.write_bytes(objects.read(f"{prefix}/{name}"))
    except OSError as error:
        raise StoreError(
            f"the network {file} cannot be written", values=f"{path}: {error.strerror or error}"
        ) from error
    if not _is_network(path, word):
        raise StoreError(
            f"the network {file} is not in the store, or is damaged there",
            values=f"{objects.url}/{prefix}: {', '.join(names) or 'nothing'}",
            remedy="remove that folder of the store, and start the sweep again where the file is",
        )
    return path


def fetch_plans(root: Path, objects: Objects) -> None:
    """Gets the plans that this machine does not have; raises StoreError where the store does not answer."""
    for name, _ in objects.names(FOLDER.as_posix()):
        place = PurePosixPath(name)
        if place.name != "plan.json" or path_of_plan(root, place.parent.name).exists():
            continue
        plan = plan_from_text(objects.read(name).decode(errors="replace"), origin=f"{objects.url}/{name}")
        if plan.id == place.parent.name:
            write_plan(root, plan)


def located(networks: Mapping[str, str]) -> dict[str, str]:
    """The absolute paths of these files, by how they are referred to."""
    return {file: str(Path(file).absolute()) for file in networks}


def _is_network(path: Path, word: str) -> bool:
    try:
        return path.is_file() and _word(path) == word
    except ArtifactError:
        return False


def _word(path: Path) -> str:
    return network_from(sha256_of(path), external_sha256(path)) or ""


def _stays_below(name: str) -> bool:
    return not PurePosixPath(name).is_absolute() and ".." not in PurePosixPath(name).parts
