"""The matrix products of test_cuda_layers.py, timed by NVIDIA's cuda-bench in a process of its own.

``python nvbench_products.py OUT.json`` prints the mean time of the work on the device in seconds.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from cuda import bench
from cuda.bench.results import BenchmarkResult

PRODUCTS, SIZE = 8, 2048
SUMMARY = "nv/batch/time/gpu/mean"


def products(state: Any) -> None:
    """The work, on the stream that cuda-bench gives."""
    factor = torch.randn(SIZE, SIZE, device="cuda")
    made = torch.empty_like(factor)

    def launch(given: Any) -> None:
        with torch.cuda.stream(torch.cuda.ExternalStream(given.get_stream().addressof())):
            for _ in range(PRODUCTS):
                torch.mm(factor, factor, out=made)

    state.exec(launch, batched=True)


if __name__ == "__main__":
    bench.register(products)
    bench.run_all_benchmarks([sys.argv[0], "--json", sys.argv[1], "--quiet"])
    (state,) = BenchmarkResult.from_json(sys.argv[1])["products"]
    print(float(state.summaries[SUMMARY].value))
