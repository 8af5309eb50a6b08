"""The numbers that other counters print for a PyTorch module, by running them."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator

import torch
import torch._dynamo  # noqa: F401
import torch._numpy  # noqa: F401 - ptflops replaces functions of PyTorch while it counts; what imports them then is confused
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def fvcores(module: nn.Module, shape: tuple[int, ...]) -> int:
    from fvcore.nn import FlopCountAnalysis

    analysis = FlopCountAnalysis(module, torch.zeros(1, *shape))
    return int(analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total())


def ptflops(module: nn.Module, shape: tuple[int, ...]) -> int:
    from ptflops import get_model_complexity_info

    macs, _ = get_model_complexity_info(
        module, shape, as_strings=False, print_per_layer_stat=False, verbose=False, backend="pytorch"
    )
    return int(macs)


def torchinfos(module: nn.Module, shape: tuple[int, ...]) -> int:
    import torchinfo

    inputs = torch.zeros(1, *shape, device="meta")
    return int(torchinfo.summary(module, input_data=inputs, verbose=0, device="meta").total_mult_adds)


def flop_counters(module: nn.Module, shape: tuple[int, ...]) -> int:
    with FlopCounterMode(display=False) as counter:
        module(torch.zeros(1, *shape, device="meta"))
    return int(counter.get_total_flops())


Count = Callable[[nn.Module, tuple[int, ...]], int]
# These two run the network; on "meta" they would see other operators. The others get along with shapes alone.
RUNNING: dict[str, Count] = {"fvcore": fvcores, "ptflops": ptflops}
SHAPES_ONLY: dict[str, Count] = {"torchinfo": torchinfos, "flop-counter": flop_counters}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.inference_mode():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
