"""How does the simulated device give out memory?

By address: what was not allocated, or was freed, is not there. Live allocations are counted to the byte
(``used_bytes``), which shows leaks; the device's free memory falls in grains, by CUDA's context, by kernels once they
are loaded, and by what its pool keeps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

ALIGNMENT = 256
POOL_GRAIN = 32 << 20


class Fault(Exception):
    """A CUDA status that is not success, by its name."""

    def __init__(self, status: str, reason: str = "") -> None:
        super().__init__(f"{status}: {reason}")
        self.status = status


class Memory(ABC):
    """Device memory and page-locked host memory."""

    knobs: dict[str, Any]

    def __init__(self) -> None:
        self.blocks: dict[int, np.ndarray] = {}
        self.pooled: set[int] = set()
        self.pool_high = {"used": 0, "reserved": 0}
        self.host: dict[int, np.ndarray] = {}
        self._next_address = 0x7F00_0000_0000

    @abstractmethod
    def check(self) -> None:
        """Raises the fault that stuck."""

    @abstractmethod
    def fail(self, status: str, reason: str) -> Fault:
        """Makes a fault stick and returns it."""

    @abstractmethod
    def require_context(self) -> None:
        """Makes the process's context, unless it has one."""

    @abstractmethod
    def require_safe(self, what: str) -> None:
        """Refuses what cannot be done while a stream is captured."""

    @property
    @abstractmethod
    def leaked_bytes(self) -> int:
        """What inferences have kept for ever."""

    @property
    @abstractmethod
    def resident_bytes(self) -> int:
        """What the context and the kernels that were loaded take."""

    @property
    def used_bytes(self) -> int:
        """What is allocated and not freed, to the byte."""
        return self.leaked_bytes + sum(block.nbytes for block in self.blocks.values())

    @property
    def taken_bytes(self) -> int:
        """By how much the device's free memory has fallen: small allocations share a grain, large ones have theirs."""
        grain = int(self.knobs["grain_bytes"])
        sizes = [block.nbytes for address, block in self.blocks.items() if address not in self.pooled]
        small = sum(-(-size // ALIGNMENT) * ALIGNMENT for size in sizes if size < grain) + self.leaked_bytes
        grains = -(-small // grain) + sum(-(-size // grain) for size in sizes if size >= grain)
        return self.resident_bytes + grains * grain + self.pool_now()["reserved"]

    def pool_now(self) -> dict[str, int]:
        """Bytes of the default pool that are in use, and that it keeps."""
        used = sum(self.blocks[address].nbytes for address in self.pooled)
        return {"used": used, "reserved": -(-used // POOL_GRAIN) * POOL_GRAIN}

    def allocate(self, size: int) -> int:
        """New memory full of noise, never zeros."""
        self.require_context()
        self.require_safe("allocating")
        if size <= 0:
            raise Fault("cudaErrorInvalidValue", f"{size} bytes")
        return self._added(size, pooled=False)

    def allocate_from_pool(self, size: int) -> int:
        """The same from the default pool, as ``cudaMallocAsync`` does; it is allowed while a stream is captured."""
        self.require_context()
        address = self._added(size, pooled=True)
        self.pool_high = {name: max(high, self.pool_now()[name]) for name, high in self.pool_high.items()}
        return address

    def _added(self, size: int, *, pooled: bool) -> int:
        address = self._next_address
        before = self.taken_bytes
        self.blocks[address] = np.empty(0, dtype=np.uint8)
        if self._would_take(before, size, pooled=pooled) > self.knobs["memory_bytes"]:
            del self.blocks[address]
            raise Fault("cudaErrorMemoryAllocation", f"{size} bytes")
        self._next_address += -(-size // ALIGNMENT) * ALIGNMENT + ALIGNMENT
        self.blocks[address] = np.full(size, 0xA5, dtype=np.uint8)
        if pooled:
            self.pooled.add(address)
        return address

    def _would_take(self, before: int, size: int, *, pooled: bool) -> int:
        """The least that is taken afterwards: a large block, or one that grows the pool, needs grains of its own."""
        grain = int(self.knobs["grain_bytes"])
        if pooled:
            now = self.pool_now()
            return before + max(0, -(-(now["used"] + size) // POOL_GRAIN) * POOL_GRAIN - now["reserved"])
        if size >= grain:
            return before + -(-size // grain) * grain
        small = sum(
            -(-block.nbytes // ALIGNMENT) * ALIGNMENT
            for address, block in self.blocks.items()
            if address not in self.pooled and block.nbytes < grain
        )
        full = -(-small // grain) * grain
        return before + (0 if small + size <= full else grain)

    def free(self, address: int) -> None:
        """Gives memory back; only what was allocated can be."""
        self.check()
        self.require_safe("freeing")
        if self.blocks.pop(address, None) is None:
            raise self.fail("cudaErrorInvalidValue", f"{address:#x} is not allocated")
        self.pooled.discard(address)

    def view(self, address: int, size: int) -> np.ndarray:
        """The bytes at an address; outside of what is allocated is an illegal access."""
        for start, block in self.blocks.items():
            if start <= address and address + size <= start + block.nbytes:
                return block[address - start : address - start + size]
        raise self.fail("cudaErrorIllegalAddress", f"{size} bytes at {address:#x}")

    def allocate_host(self, size: int) -> int:
        """New pinned memory: real memory, at its real address."""
        self.require_context()
        self.require_safe("page-locking")
        if sum(array.nbytes for array in self.host.values()) + size > self.knobs["pinned_bytes"]:
            raise Fault("cudaErrorMemoryAllocation", f"{size} bytes cannot be page-locked")
        array = np.full(size, 0x5A, dtype=np.uint8)
        self.host[array.ctypes.data] = array
        return int(array.ctypes.data)

    def free_host(self, address: int) -> None:
        """Gives pinned memory back."""
        self.require_safe("unlocking")
        if self.host.pop(address, None) is None:
            raise Fault("cudaErrorInvalidValue", f"{address:#x} is not pinned")

    def host_view(self, address: int, size: int) -> np.ndarray:
        """The bytes of pinned memory at an address."""
        array = self.host.get(address)
        if array is None or size > array.nbytes:
            raise Fault("cudaErrorInvalidValue", f"{size} bytes at {address:#x} are not pinned")
        return array[:size]
