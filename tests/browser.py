"""A headless Chromium for tests of a page: it opens a file, and reports the page's content, log and requests.

This module speaks the DevTools protocol over a pair of pipes, with only the standard library. Without Chromium, `find`
returns None, and the tests that need it are skipped.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# The variable CHROMIUM names any other program.
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-extensions --disable-dev-shm-usage --mute-audio "
    "--remote-debugging-pipe"
).split()
# Chromium reads its commands from descriptor 3 and answers on 4.
_LAUNCH = """
import fcntl, os, sys
commands, answers = (fcntl.fcntl(int(each), fcntl.F_DUPFD, 10) for each in sys.argv[1:3])
os.dup2(commands, 3)
os.dup2(answers, 4)
os.execvp(sys.argv[3], sys.argv[3:])
"""
_PATIENCE_SECONDS = 60

KEYS = {
    "ArrowLeft": 37,
    "ArrowUp": 38,
    "ArrowRight": 39,
    "ArrowDown": 40,
    "Home": 36,
    "End": 35,
    "PageUp": 33,
    "PageDown": 34,
    "Tab": 9,
    "Escape": 27,
}


def find() -> str | None:
    """The path of Chromium; None if this machine has none."""
    names = [os.environ["CHROMIUM"]] if os.environ.get("CHROMIUM") else _NAMES
    return next((found for name in names if (found := shutil.which(name))), None)


@contextlib.contextmanager
def running() -> Iterator[Browser]:
    """A browser with an empty profile, which ends with all its processes."""
    program = find()
    assert program is not None, "there is no Chromium: call `find` first"
    their_commands, commands = os.pipe()
    answers, their_answers = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        launch = [sys.executable, "-c", _LAUNCH, str(their_commands), str(their_answers)]
        process = subprocess.Popen(
            [*launch, program, *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(their_commands, their_answers),
            env={**os.environ, "HOME": profile},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(their_commands)
        os.close(their_answers)
        browser = Browser(commands, answers)
        try:
            yield browser
        finally:
            with contextlib.suppress(OSError, EOFError):
                browser.command("Browser.close", session=False)
            try:
                process.wait(_PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            os.close(commands)
            os.close(answers)


class Browser:
    """One tab. ``requests`` are the requested addresses, ``complaints`` the errors that the page logged."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands = commands
        self._answers = answers
        self._unread = b""
        self._last_id = 0
        self._session = ""
        self._events: list[dict[str, Any]] = []
        self.requests: list[str] = []
        self.complaints: list[str] = []

    def open(
        self, page: Path | str, *, width: int = 1100, height: int = 900, dark: bool = False, javascript: bool = True
    ) -> None:
        """Open a file or a URL in a new tab, and return when the page is loaded."""
        target = self.command("Target.createTarget", session=False, url="about:blank")["targetId"]
        attached = self.command("Target.attachToTarget", session=False, targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.command(f"{domain}.enable")
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.command("Emulation.setEmulatedMedia", features=[scheme])
        self.command("Emulation.setScriptExecutionDisabled", value=not javascript)
        self.requests, self.complaints, self._events = [], [], []
        self.command("Page.navigate", url=page if isinstance(page, str) else page.resolve().as_uri())
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            assert time.monotonic() < deadline, f"{page} did not load"
            self._take(self._receive())

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page, even if the page's own scripts are switched off."""
        answer = self.command("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """Press and release a key."""
        for kind in ("rawKeyDown", "keyUp"):
            self.command("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=KEYS[key])

    def point_at(self, selector: str) -> None:
        """Move the pointer to the middle of the first element that matches."""
        place = self.evaluate(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            "e.scrollIntoView({block: 'center'}); const b = e.getBoundingClientRect();"
            "return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        self.command("Input.dispatchMouseEvent", type="mouseMoved", x=place[0], y=place[1])

    def focused(self) -> Any:
        """The role and name of the focused element, as assistive technology gets them."""
        element = self.command("Runtime.evaluate", expression="document.activeElement")["result"]["objectId"]
        [node, *_] = self.command("Accessibility.getPartialAXTree", objectId=element, fetchRelatives=False)["nodes"]
        return {"role": node["role"]["value"], "name": node["name"]["value"]}

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """Write the visible part of the page as a PNG, or with ``whole`` all of it."""
        content = self.command("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(content))

    def command(self, method: str, *, session: bool = True, **parameters: Any) -> dict[str, Any]:
        """Send a command of the DevTools protocol, and wait for its result."""
        self._last_id += 1
        message = {"id": self._last_id, "method": method, "params": parameters}
        if session:
            message["sessionId"] = self._session
        content = json.dumps(message).encode() + b"\0"
        while content:
            content = content[os.write(self._commands, content) :]
        while True:
            answer = self._receive()
            if answer.get("id") == self._last_id:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result
            self._take(answer)

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._unread:
            piece = os.read(self._answers, 1 << 20)
            if not piece:
                raise EOFError("the browser has ended")
            self._unread += piece
        message, self._unread = self._unread.split(b"\0", 1)
        found: dict[str, Any] = json.loads(message)
        return found

    def _take(self, event: dict[str, Any]) -> None:
        if event.get("sessionId") != self._session:
            return
        self._events.append(event)
        what = event.get("params", {})
        if event["method"] == "Network.requestWillBeSent":
            self.requests.append(what["request"]["url"])
        elif event["method"] == "Log.entryAdded":
            self.complaints.append(f"{what['entry']['level']}: {what['entry']['text']}")
        elif event["method"] in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
            self.complaints.append(json.dumps(what)[:500])
