"""Screenshots of the views of `dfl-tf web`, for docs/web.md.

Run as: python tools/web_screenshots.py WORKSPACE [VIEW ...]

WORKSPACE holds a model that was trained (docs/web.md says how ours was). Each view is taken on a
screen of 1280x720 and on a phone of 390x844, from the top and down to its end.
"""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

from chromium import Chromium, Tab

from dfl_tf.formats.sessions.workspace import Workspace
from dfl_tf.web.context import SiteContext
from dfl_tf.web.instance import Instance
from dfl_tf.web.server import Server, bind, make_app

OUT = Path(__file__).resolve().parents[1] / "docs" / "images"
SCREENS = {"wide": (1280, 720, False), "phone": (390, 844, True)}
LONGEST = 2600
VIEWS = {
    "watch": "document.querySelector('img.preview').naturalWidth > 0"
    " && !!document.querySelector('[data-points]')",
    "compare": "!!document.querySelector('#first option')",
    "faces": "document.querySelectorAll('.face img[src]').length > 5",
    "face": "document.querySelectorAll('.face img[src]').length > 5",
    "xseg": "!!document.querySelector('.board')?.dataset.mode"
    " && document.querySelector('.counted').dataset.complete === 'true'",
    "extraction": "document.querySelector('.extraction .viewer')?.dataset.state === 'shown'",
    "jobs": "!!document.querySelector('[data-key=archi] input')",
}
"""What a view shows once it is whole, as an expression."""
PAGES = {"face": "faces", "extraction": "extraction/src/30", "jobs": "jobs/train"}
"""Addresses of views that are not shown as they begin, or are taken twice."""


def show_faces(tab: Tab) -> None:
    """Sorted by yaw, some marked, with the maps of poses."""
    tab.run(
        "(() => { const e = document.querySelector('#faces-sort'); e.value = 'yaw';"
        " e.dispatchEvent(new Event('change')); })()"
    )
    tab.wait("/[0-9]/.test(document.querySelector('.face .caption')?.textContent)", 300)
    tab.click("[data-name=coverage]")
    tab.wait("!!document.querySelector('.coverage button')")
    if tab.run("!!document.querySelector('.coverage button.main')"):
        tab.click(".coverage button.main")
    tab.wait("!document.querySelector('.coverage button.main')", 300)
    for position in (2, 3):
        tab.click(f'.face[data-index="{position}"]')


def show_face(tab: Tab) -> None:
    """One face with its layers and its frame."""
    tab.wait("!!document.querySelector('.face[data-index=\"1\"]')")
    for _ in range(2):  # marked, and not any more
        tab.click('.face[data-index="1"]')
    for layer in ("landmarks", "polygons", "mask"):
        tab.click(f"[data-name={layer}]")
    tab.click(".opener")
    tab.wait("document.querySelector('.face-viewer').dataset.state === 'shown'")


def place_face(tab: Tab) -> None:
    """Draw a box over the head of the frame, and turn the shape a little."""
    if tab.run("!!document.querySelector('.shape')"):  # kept from the other screen
        return
    tab.click("[data-do=new]")
    box = tab.run(
        "(() => { const b = document.querySelector('.viewer img').getBoundingClientRect();"
        " return [b.x, b.y, b.width, b.height]; })()"
    )
    x, y, width, height = box
    tab.drag((x + 0.36 * width, y + 0.2 * height), (x + 0.64 * width, y + 0.75 * height))
    tab.wait("!!document.querySelector('.shape')")


def start_job(tab: Tab) -> None:
    """Start an extraction, and give the form of a training some values."""
    listed = "[...document.querySelectorAll('.job')]"
    if tab.run("!document.querySelector('.job')"):
        tab.click("[data-kind=extract]")
        tab.wait("!!document.querySelector('#field-overwrite')")
        tab.run("(document.querySelector('#field-overwrite').value = 'true')")
        tab.click("[data-do=start]")
        tab.wait(f"{listed}.some(each => each.dataset.state === 'running')")
        tab.wait(f"{listed}.some(each => each.textContent.includes('left'))")
        tab.click("[data-kind=train]")
        tab.wait("!!document.querySelector('[data-key=archi] input')")
    tab.run(
        "(() => { const e = document.querySelector('#job-model'); e.value = 'new';"
        " e.dispatchEvent(new Event('change')); })()"
    )
    time.sleep(0.5)


def compare_states(tab: Tab) -> None:
    """Compare the first snapshot with the last save, unless that was done for the other screen."""
    if not tab.run("!!document.querySelector('img.sheet')"):
        tab.run("(document.querySelector('#first').selectedIndex = 1)")
        tab.click("button.main")
    tab.wait("document.querySelector('img.sheet')?.naturalWidth > 0", 300)


STEPS = {
    "compare": compare_states,
    "faces": show_faces,
    "face": show_face,
    "extraction": place_face,
    "jobs": start_job,
}
"""What is done before a view is taken."""


def take(tab: Tab, address: str, view: str, name: str) -> None:
    """Screenshots of a view: what is seen at first, and, to look at here, down to its end."""
    width, height, phone = SCREENS[name]
    tab.size(width, height, phone=phone)
    tab.open(f"{address}?{view}-{name}#/{PAGES.get(view, view)}")
    tab.wait(VIEWS[view])
    STEPS.get(view, lambda _: None)(tab)
    time.sleep(1.0)
    tab.screenshot(OUT / f"web-{view}-{name}.png")
    whole = int(float(str(tab.run("document.documentElement.scrollHeight"))))
    if whole > height + 40:
        tab.size(width, min(whole, LONGEST), phone=phone)
        time.sleep(0.5)
        tab.screenshot(Path(f"web-{view}-{name}-whole.png"))
    print(f"{view} {name}: {whole} px high; complaints: {tab.errors() or 'none'}")


def main(root: Path, chosen: list[str]) -> None:
    bound = bind("127.0.0.1", 0)
    instance = replace(Instance.new(), port=bound.getsockname()[1])
    context = SiteContext(Workspace.open(root, need=()), instance)
    server = Server(make_app(context), context.events)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    with Chromium() as browser, browser.profile() as tabs:
        tab = tabs()
        tab.open(instance.address)
        for view in chosen or VIEWS:
            for name in SCREENS:
                take(tab, instance.place, view, name)
    server.should_exit = True
    thread.join()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
