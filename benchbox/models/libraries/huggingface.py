"""Which network does hf:ORG/NAME or hf:FOLDER name?

The class is the one that its configuration names, or that of ``--task``; without weights they are as the library
initialises them from a seed. Code that comes with a model is never run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from benchbox.errors import EnvironmentLackError, UsageError
from benchbox.models.libraries.caching import with_past
from benchbox.models.libraries.feeding import example_for
from benchbox.models.libraries.made import LibraryNetwork, failed, imported, part_of_library, reason_of
from benchbox.models.libraries.tasks import TASKS

# What the hub answers where there is no such model, or none that this user may read.
_REFUSALS = frozenset({"RepositoryNotFoundError", "HFValidationError", "GatedRepoError", "EntryNotFoundError"})
_WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "pytorch_model*.bin", "pytorch_model.bin.index.json")


def network_from_hub(name: str, *, task: str, sizes: dict[str, int], own_weights: bool) -> LibraryNetwork:
    """A network of transformers in fp32 with inputs from its configuration; with the past of a decoder if it is asked.

    Args:
        name: ORG/NAME of the hub, or a folder with config.json.
        task: of ``TASKS``, "" for the class that the configuration names.
        sizes: that the user gave; those of ``feeding.SIZES`` are used.
        own_weights: the user has weights for it: none are fetched.

    Raises: as ``network_from_library``.
    """
    transformers = imported("transformers", "hf")
    transformers.utils.logging.disable_progress_bar()
    config = _configuration(transformers, name)
    kind, notes = _class(transformers, config, task, name)
    for part in (config, *(getattr(config, one, None) for one in ("text_config", "decoder"))):
        if hasattr(part, "use_cache"):
            part.use_cache = False  # what a call returns would hold the keys and values of all tokens
    module, words = None, ""
    if not own_weights and _may_have_weights(name):
        try:
            module = kind.from_pretrained(name, config=config, dtype=torch.float32)
            commit = getattr(config, "_commit_hash", None)
            place = str(Path(name).resolve()) if Path(name).is_dir() else f"hf {name}"
            words = f"{place}@{commit[:12]}" if commit else place
        except Exception as error:  # the network, the hub or the file: each has errors of its own
            if Path(name).is_dir():
                raise failed(f"the weights in {name} cannot be read", error) from error
            notes.append(f"its weights could not be fetched, so seeded ones are measured: {reason_of(error)}")
    if module is None:
        torch.manual_seed(0)
        words = f"seeded: initialised by transformers {transformers.__version__}"
        try:
            module = kind.from_config(config) if hasattr(kind, "from_config") else kind(config)
        except Exception as error:
            raise failed(f"transformers cannot make {kind.__name__} from the configuration of {name}", error) from error
    module = module.float().eval()
    fed = example_for(module, config, sizes, f"hf:{name}")
    example, used = fed.example, fed.used
    if "past" in sizes:
        example = with_past(module, example, sizes["past"], reference=f"hf:{name}")
        used |= {"past"}

    def without_fused_attention() -> str:
        module.set_attn_implementation("eager")
        return "its attention is exported as products and a softmax: PyTorch cannot export it as one operator"

    simplify = without_fused_attention if hasattr(module, "set_attn_implementation") else None
    return LibraryNetwork(
        module=module,
        example=example,
        weights=words,
        notes=tuple(notes),
        used=used,
        open=fed.open,
        simplify=simplify,
    )


def _configuration(transformers: Any, name: str) -> Any:
    folder = Path(name)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise UsageError(
                f"{name} is not a folder of a Hugging Face model",
                values="it holds no config.json",
                remedy="write one with model.save_pretrained(FOLDER) or config.save_pretrained(FOLDER)",
            )
    elif name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise UsageError(f"there is no folder {name}", remedy="hf:FOLDER needs a folder with config.json")
    try:
        return transformers.AutoConfig.from_pretrained(name)
    except Exception as error:  # the hub, the network, JSON and the library each have errors of their own
        if folder.is_dir():
            raise UsageError(
                f"the configuration in {name} cannot be used",
                values=reason_of(error),
                remedy="its model_type must be one that this version of transformers knows",
            ) from error
        if _causes(error) & _REFUSALS:
            raise UsageError(
                f"the hub has no model {name} that can be read",
                values=reason_of(error),
                remedy="check the name; a gated model needs 'hf auth login'; a local one: hf:FOLDER",
            ) from error
        raise EnvironmentLackError(
            f"the configuration of {name} cannot be fetched",
            values=reason_of(error),
            remedy="check the name and the connection; or measure a folder: hf:FOLDER with its config.json",
        ) from error


def _causes(error: BaseException | None) -> set[str]:
    """Names of the classes of an exception and of what it came from."""
    found: set[str] = set()
    while error is not None:
        found.add(type(error).__name__)
        error = error.__cause__ or error.__context__
    return found


def _class(transformers: Any, config: Any, task: str, name: str) -> tuple[Any, list[str]]:
    """The class to make, and what to know of the choice."""
    if task:
        for title in TASKS[task]:
            found = part_of_library(transformers, title)
            if found is not None and type(config) in found._model_mapping:
                return found, []
        can = [one for one, titles in TASKS.items() if any(_knows(transformers, title, config) for title in titles)]
        raise UsageError(
            f"{name} has no network for the task {task}",
            values=f"a {type(config).__name__} has {', '.join(can) or 'none of the tasks that are known'}",
            remedy=f"for example --task {can[0]}" if can else "leave --task out",
        )
    for title in getattr(config, "architectures", None) or ():
        found = part_of_library(transformers, title)
        if found is not None:
            return found, []
    if not _knows(transformers, "AutoModel", config):
        raise UsageError(
            f"the configuration of {name} names no network",
            values=f"a {type(config).__name__} without architectures",
            remedy="say which is meant with --task",
        )
    return transformers.AutoModel, [
        "its configuration names no network, so the base model without a head is measured (--task chooses another)"
    ]


def _knows(transformers: Any, title: str, config: Any) -> bool:
    found = part_of_library(transformers, title)
    return found is not None and type(config) in found._model_mapping


def _may_have_weights(name: str) -> bool:
    folder = Path(name)
    return not folder.is_dir() or any(True for pattern in _WEIGHTS for _ in folder.glob(pattern))
