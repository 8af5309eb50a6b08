"""A page in a real Chromium, asked over its pipe for what a person, a printer and a screen reader would get."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MISSING = "no Chromium is installed (apt-get install chromium)"
# Nothing listens at the proxy: what a page requests fails, or its own policy forbids it, and the log says so.
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--no-first-run", "--proxy-server=127.0.0.1:9",
)  # fmt: skip
_SAID = frozenset({"Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"})


class Tab:
    """One tab: its document, what it requested, and what its console said."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers, self._rest, self._number = commands, answers, b"", 0
        self.requests: list[str] = []
        self.console: list[str] = []
        self._arrived = self._loaded = False
        target = self._ask("Target.createTarget", {"url": "about:blank"}, None)["targetId"]
        attached = self._ask("Target.attachToTarget", {"targetId": target, "flatten": True}, None)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """A command of the DevTools protocol and its result."""
        return self._ask(method, params, self._session)

    def show(
        self, file: Path, *, width: int = 1280, dark: bool = False, media: str = "", scripts: bool = True,
        anchor: str = "",
    ) -> None:  # fmt: skip
        """Opens a file, at an anchor ("#case=x"), and waits until it is loaded."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self.ask("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.requests, self.console = [], []
        self._arrived = self._loaded = False
        if anchor:  # an anchor alone would not load the page again
            self.ask("Page.navigate", url="about:blank")
        self.ask("Page.navigate", url=file.as_uri() + anchor)
        while not self._loaded:
            self._hear(self._message())
        self.requests = [url for url in self.requests if url.partition("#")[0] != file.as_uri()]

    def value(self, expression: str) -> Any:
        """What an expression is in the page; promises are waited for."""
        found = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def _ask(self, method: str, params: dict[str, Any], session: str | None) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._commands, data) :]
        while True:
            found = self._message()
            if found.get("id") == self._number:
                assert "error" not in found, f"{method}: {found['error']}"
                result: dict[str, Any] = found["result"]
                return result
            self._hear(found)

    def _hear(self, message: dict[str, Any]) -> None:
        method = message.get("method", "")
        if method == "Network.requestWillBeSent":
            self.requests.append(message["params"]["request"]["url"])
        elif method in _SAID:
            self.console.append(json.dumps(message["params"]))
        elif method == "Page.frameNavigated":
            self._arrived = message["params"]["frame"]["url"].startswith("file:")
        elif method == "Page.loadEventFired":
            self._loaded = self._arrived

    def _message(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            part = os.read(self._answers, 1 << 16)
            assert part, "Chromium has ended"
            self._rest += part
        text, _, self._rest = self._rest.partition(b"\0")
        found: dict[str, Any] = json.loads(text)
        return found


@contextlib.contextmanager
def tab(folder: Path) -> Iterator[Tab]:
    """A tab of a browser of its own, whose profile is in the folder."""
    assert CHROMIUM is not None
    to_read, commands = os.pipe()
    answers, to_write = os.pipe()
    # Chromium reads commands from descriptor 3 and writes answers to 4.
    shell = f'exec "$0" "$@" 3<&{to_read} 4>&{to_write}'
    browser = subprocess.Popen(
        ["bash", "-c", shell, CHROMIUM, *FLAGS, "--remote-debugging-pipe", f"--user-data-dir={folder / 'profile'}"],
        pass_fds=(to_read, to_write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(to_read)
    os.close(to_write)
    try:
        yield Tab(commands, answers)
    finally:
        browser.kill()
        browser.wait()
        os.close(commands)
        os.close(answers)
