"""A headless Chromium that is driven through a pipe: nothing to install but the browser.

Used by the tests of the page (tests/web) and by tools/web_screenshots.py. It speaks the DevTools
protocol (https://chromedevtools.github.io/devtools-protocol) over two file descriptors.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

FLAGS = (
    "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu",
    "--hide-scrollbars", "--disable-dev-shm-usage", "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps", "--disable-extensions", "--disable-sync", "--no-first-run",
    "--no-default-browser-check", "--mute-audio", "--force-device-scale-factor=1",
    "--host-resolver-rules=MAP foreign.example 127.0.0.1", "about:blank",
)  # fmt: skip
_SECONDS = 120.0


def find_chromium() -> str | None:
    """The browser of this machine; `DFL_TF_CHROMIUM` names another one."""
    given = os.environ.get("DFL_TF_CHROMIUM")
    names = ("chromium", "chromium-browser", "google-chrome")
    return given or next((path for name in names if (path := shutil.which(name))), None)


class BrowserError(Exception):
    """The browser refused something, or did not answer in time."""


class Chromium:
    """A browser process; a context manager.

    Parameters
    ----------
    program : str, optional
        Default: `find_chromium`.
    """

    def __init__(self, program: str | None = None) -> None:
        found = program or find_chromium()
        if found is None:
            raise BrowserError("there is no Chromium here: apt-get install chromium")
        self._program, self._number, self._left = found, 0, b""
        self.events: list[dict] = []

    def __enter__(self) -> Chromium:
        self._home = tempfile.TemporaryDirectory(prefix="dfl-chromium-")
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        theirs = [fcntl.fcntl(each, fcntl.F_DUPFD, 10) for each in (theirs_in, theirs_out)]
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_DUP2, theirs[0], 3),
            (os.POSIX_SPAWN_DUP2, theirs[1], 4),
        ]
        line = [self._program, f"--user-data-dir={self._home.name}", *FLAGS]
        self._pid = os.posix_spawn(
            self._program, line, {**os.environ, "HOME": self._home.name},
            file_actions=actions, setpgroup=0,
        )  # fmt: skip
        for each in (theirs_in, theirs_out, *theirs):
            os.close(each)
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(OSError, BrowserError):
            self.call("Browser.close")
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline and os.waitpid(self._pid, os.WNOHANG) == (0, 0):
            time.sleep(0.02)
        with contextlib.suppress(OSError):
            os.killpg(self._pid, signal.SIGKILL)
        for each in (self._in, self._out):
            os.close(each)
        with contextlib.suppress(OSError):
            self._home.cleanup()

    def call(self, method: str, session: str | None = None, **params: object) -> dict:
        """Ask the browser for something, and wait for its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + _SECONDS
        while True:
            answer = self._next(deadline, method)
            if answer.get("id") == message["id"]:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error'].get('message')}")
                return answer["result"]
            if "method" in answer:
                self.events.append(answer)

    def _next(self, deadline: float, what: str) -> dict:
        while b"\0" not in self._left:
            ready, _, _ = select.select([self._in], [], [], max(0.0, deadline - time.monotonic()))
            chunk = os.read(self._in, 1 << 20) if ready else b""
            if not chunk:
                raise BrowserError(f"{what}: the browser does not answer")
            self._left += chunk
        text, _, self._left = self._left.partition(b"\0")
        return json.loads(text)

    @contextlib.contextmanager
    def profile(self) -> Iterator[Callable[[], Tab]]:
        """A profile with cookies of its own; gives what opens tabs in it."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        try:
            yield lambda: Tab(self, context)
        finally:
            with contextlib.suppress(BrowserError):
                self.call("Target.disposeBrowserContext", browserContextId=context)


class Tab:
    """A page of the browser."""

    def __init__(self, browser: Chromium, context: str) -> None:
        self._browser = browser
        made = browser.call("Target.createTarget", url="about:blank", browserContextId=context)
        self.target = made["targetId"]
        attached = browser.call("Target.attachToTarget", targetId=self.target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: object) -> dict:
        """Ask the browser for something that concerns this page."""
        return self._browser.call(method, self.session, **params)

    def size(self, width: int, height: int, *, phone: bool = False) -> None:
        """Give the page the size of a screen."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=phone)  # fmt: skip

    def open(self, address: str) -> None:
        """Go to an address, and wait until the page is there."""
        self.call("Page.navigate", url=address)
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    def run(self, code: str) -> object:
        """The value of an expression; a promise is waited for."""
        answer = self.call(
            "Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise BrowserError(details.get("exception", {}).get("description") or details["text"])
        return answer["result"].get("value")

    def wait(self, code: str, seconds: float = _SECONDS) -> object:
        """Wait until an expression is true."""
        deadline, last = time.monotonic() + seconds, ""
        while time.monotonic() < deadline:
            try:
                if value := self.run(code):
                    return value
            except BrowserError as error:  # the page is being replaced
                last = f" ({error})"
            time.sleep(0.05)
        raise BrowserError(f"this did not become true within {seconds:g} s: {code}{last}")

    def click(self, selector: str) -> None:
        """Click with the mouse on the middle of an element."""
        where = self.wait(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            " if (!e || e.disabled) return null; e.scrollIntoView({block: 'center'});"
            " const b = e.getBoundingClientRect();"
            " return b.width ? [b.x + b.width / 2, b.y + b.height / 2] : null; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=where[0], y=where[1],
                      button="left", clickCount=1)  # fmt: skip

    def drag(self, *places: tuple[float, float]) -> None:
        """Press the mouse at the first of some places on the screen, go to the others, let go."""

        def at(kind: str, place: tuple[float, float], buttons: int) -> None:
            self.call("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1],
                      button="left" if kind != "mouseMoved" or buttons else "none",
                      buttons=buttons, clickCount=1)  # fmt: skip

        at("mouseMoved", places[0], 0)
        at("mousePressed", places[0], 1)
        for place in places[1:]:
            at("mouseMoved", place, 1)
        at("mouseReleased", places[-1], 0)

    def press(self, key: str) -> None:
        """Press and release a key: a letter, or a name such as Enter or ArrowLeft."""
        codes = {"Enter": 13, "Tab": 9, "Escape": 27, "ArrowLeft": 37, "ArrowRight": 39}
        text = key if len(key) == 1 else ("\r" if key == "Enter" else "")
        facts = {"key": key, "windowsVirtualKeyCode": codes.get(key, ord(key[0].upper()))}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **facts)
        self.call("Input.dispatchKeyEvent", type="keyUp", **facts)

    def type(self, text: str) -> None:
        """Write text where the cursor is."""
        self.call("Input.insertText", text=text)

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """Write what is seen as PNG; `whole`: the page down to its end."""
        made = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(made["data"]))

    def errors(self) -> list[str]:
        """What the page complained of: exceptions, and what the security policy refused."""
        found = []
        for event in self._browser.events:
            if event.get("sessionId") != self.session:
                continue
            if event["method"] == "Runtime.exceptionThrown":
                details = event["params"]["exceptionDetails"]
                found.append(details.get("exception", {}).get("description") or details["text"])
            if event["method"] == "Log.entryAdded" and event["params"]["entry"]["level"] == "error":
                found.append(event["params"]["entry"]["text"])
        return found

    def close(self) -> None:
        """Close the tab."""
        self._browser.call("Target.closeTarget", targetId=self.target)
