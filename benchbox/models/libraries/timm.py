"""Which network does timm:NAME name?"""

from __future__ import annotations

import torch

from benchbox.errors import UsageError
from benchbox.models.examples import Example
from benchbox.models.libraries.made import LibraryNetwork, failed, imported, reason_of
from benchbox.registry import suggestion


def network_from_timm(name: str, *, own_weights: bool) -> LibraryNetwork:
    """A network of timm with pictures of its own size.

    Args:
        name: ``resnet18`` or, with a tag of weights, ``resnet18.a1_in1k``.
        own_weights: the user has weights for it: none are fetched.

    Raises: as ``network_from_library``.
    """
    timm = imported("timm", "timm")
    known = timm.list_models()
    if name.partition(".")[0] not in known:
        raise UsageError(
            f"timm has no network '{name}'",
            values=suggestion(name, tuple(known)),
            remedy="'python -c \"import timm; print(timm.list_models())\"' lists them",
        )
    notes: list[str] = []
    module, words = None, f"timm {name}"
    if not own_weights and timm.is_model_pretrained(name):
        try:
            module = timm.create_model(name, pretrained=True)
        except Exception as error:  # the network, the hub or the file: each has errors of its own
            notes.append(f"its weights could not be fetched, so seeded ones are measured: {reason_of(error)}")
    if module is None:
        torch.manual_seed(0)
        words = f"seeded: initialised by timm {timm.__version__}"
        try:
            module = timm.create_model(name, pretrained=False)
        except Exception as error:
            raise failed(f"timm cannot make {name}", error) from error
    size = tuple(timm.data.resolve_model_data_config(module)["input_size"])
    generator = torch.Generator().manual_seed(0)
    example = Example(args=(torch.randn((2, *size), generator=generator),))
    return LibraryNetwork(module=module, example=example, weights=words, notes=tuple(notes), axes=(0,))
