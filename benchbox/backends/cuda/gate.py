"""How is a stream held back until all work of an inference lies on it?

The driver makes the stream wait for a number in page-locked memory (``cuStreamWaitValue32``); the host writes the
number when everything was started. So the device does not idle between the first event and the first kernel, and no
gap that the host leaves is between two events. It works for any stream, whoever made it, and needs no kernel.

A closed gate can block the host: the device's queue is finite, and a runtime may wait for the device in its call. After
``LIMIT_S`` the gate opens by itself and says that it was forced.
"""

from __future__ import annotations

import ctypes
import threading
from typing import Any

from benchbox.backends.cuda.driver import LIBRARY
from benchbox.errors import MeasurementError

LIMIT_S = 0.25
_AT_LEAST = 0x0  # CU_STREAM_WAIT_VALUE_GEQ of cuda.h
_WORD_BYTES = 4


class StreamGate:
    """A gate in one stream of the current context.

    Args:
        handle: the stream, as a number.

    Raises:
        MeasurementError: the driver has no such call, or the GPU does not support it.
    """

    def __init__(self, handle: int) -> None:
        try:
            self._driver = ctypes.CDLL(LIBRARY)
            self._hold = self._driver.cuStreamWaitValue32_v2
        except (OSError, AttributeError) as error:
            raise MeasurementError("the driver cannot hold a stream back", values=str(error)) from error
        self._stream = ctypes.c_void_p(handle)
        self._address = ctypes.c_void_p()
        self._require(self._driver.cuMemHostAlloc(ctypes.byref(self._address), _WORD_BYTES, 0), "cuMemHostAlloc")
        assert self._address.value is not None, "a successful call gives an address"
        self._word = ctypes.c_uint32.from_address(self._address.value)
        self._word.value = 0
        self._number = 0
        self._watchdog: threading.Timer | None = None
        self.forced = False
        """Whether it ever opened by itself: something waited for the device while it was closed."""

    def shut(self) -> None:
        """Lets what is started on the stream from now on wait."""
        self._number += 1
        status = self._hold(self._stream, self._address, ctypes.c_uint32(self._number), ctypes.c_uint(_AT_LEAST))
        self._require(status, "cuStreamWaitValue32")
        self._watchdog = threading.Timer(LIMIT_S, self._force, [self._number])
        self._watchdog.daemon = True
        self._watchdog.start()

    def open(self) -> None:
        """Lets it run."""
        self._word.value = self._number
        if self._watchdog is not None:
            self._watchdog.cancel()
            self._watchdog = None

    def _force(self, number: int) -> None:
        if self._word.value < number:
            self.forced = True
            self._word.value = number

    def close(self) -> None:
        """Gives the memory back; the stream was waited for before."""
        self.open()
        self._driver.cuMemFreeHost(self._address)

    def _require(self, status: int, call: str) -> Any:
        if status != 0:
            raise MeasurementError("the GPU cannot hold a stream back", values=f"{call}: error {status}")
