"""Looking through faces in a real browser: 20,000 of them, layers, coverage, the trash."""

from __future__ import annotations

import os

import pytest

from dfl_tf.web import faces_measuring

from .support.asking import MEASURING
from .support.contrast import unreadable
from .support.facing import FACES, face, make_faces
from .support.served import serving
from .support.trainings import TAG

MANY = 20_000
SHOWN = "Number(document.querySelector('.count')?.dataset.shown ?? -1)"
MARKED = "Number(document.querySelector('.count').dataset.marked)"
OVER = ".drawn:not(.frame) svg > *"
SEEN = """[...document.querySelectorAll('.face:not([hidden])')]
  .filter(e => e.querySelector('img').complete && e.querySelector('img').naturalWidth)"""


def key(tab, code, name=None, shift=False):
    """Press a key by its place on the keyboard."""
    for kind in ("keyDown", "keyUp"):
        facts = {"code": code, "key": name or code, "modifiers": 8 if shift else 0}
        tab.call("Input.dispatchKeyEvent", type=kind, **facts)


def click(tab, position, *, shift=False, count=1):
    """Click on the face at a position."""
    where = tab.wait(
        f"(() => {{ const e = document.querySelector('.face[data-index=\"{position}\"]');"
        " if (!e || e.hidden) return null; const b = e.getBoundingClientRect();"
        " return [b.x + b.width / 2, b.y + b.height / 2]; })()"
    )
    for kind in ("mousePressed", "mouseReleased"):
        tab.call("Input.dispatchMouseEvent", type=kind, x=where[0], y=where[1], button="left",
                 clickCount=count, modifiers=8 if shift else 0)  # fmt: skip


def put(tab, selector, value):
    """Choose in a list, or write into a field, as a hand does."""
    tab.run(
        f"(() => {{ const e = document.querySelector({selector!r}); e.value = {value!r};"
        " e.dispatchEvent(new Event('change', {bubbles: true})); })()"
    )


def choose(tab, title):
    """Go to the folder of a title."""
    tab.wait(f"[...document.querySelectorAll('.bar option')].some(o => o.text === {title!r})")
    value = tab.run(
        f"[...document.querySelectorAll('.bar option')].find(o => o.text === {title!r}).value"
    )
    put(tab, ".bar select", value)
    tab.wait(f"location.hash.endsWith({value!r})")


def names(folder):
    return sorted(p.name for p in folder.iterdir() if p.suffix == ".jpg") if folder.exists() else []


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    place = make_faces(tmp_path_factory.mktemp("looking") / "project")
    many = place / "data_src" / "aligned_many"
    many.mkdir()
    (many / "00000.jpg").write_bytes(face(4))
    for number in range(1, MANY):
        os.link(many / "00000.jpg", many / f"{number:05d}.jpg")
    return place


@pytest.fixture(scope="module")
def served(root):
    with pytest.MonkeyPatch.context() as patch, serving(root) as server:
        patch.setattr(faces_measuring, "measure_command", lambda: MEASURING)
        yield server


@pytest.fixture
def tab(tabs, served):
    """The faces of src in a tab of 1280x720."""
    tab = tabs()
    tab.size(1280, 720)
    tab.open(served.context.instance.address)
    tab.run("void (location.hash = '#/faces')")
    tab.wait(f"{SHOWN} === {FACES} && {SEEN}.length === {FACES}")
    yield tab
    assert [error for error in tab.errors() if "404" not in error] == []  # of a damaged face


def test_20000_faces_scroll(tab):
    choose(tab, "data_src/aligned_many")
    tab.wait(f"{SHOWN} === {MANY}")
    tab.run("document.querySelector('.face-grid').focus()")
    for _ in range(25):  # a wheel that is turned fast
        tab.call("Input.dispatchMouseEvent", type="mouseWheel", x=400, y=400, deltaX=0, deltaY=2500)
    tab.wait("document.querySelector('.face-grid').scrollTop > 40000")
    tab.wait(f"{SEEN}.length > 20")
    key(tab, "End")
    last = f'.face[data-index="{MANY - 1}"]:not([hidden])'
    tab.wait(f"document.querySelector({last!r})?.title === '{MANY - 1:05d}.jpg'")
    tab.wait(f"document.querySelector({last!r}).querySelector('img').naturalWidth > 0")
    assert tab.run("document.querySelectorAll('.face').length") < 150
    assert tab.run(f"document.querySelector({last!r}).ariaPosInSet") == str(MANY)
    key(tab, "Home", shift=True)  # marks all on the way
    tab.wait(f"{MARKED} === {MANY}")
    key(tab, "Escape")
    tab.wait(f"{MARKED} === 0")


def test_faces_go_to_the_trash_and_come_back(tab, tabs, served, root):
    other = tabs()
    other.open(f"{served.context.instance.place}#/faces")
    other.wait(f"{SHOWN} === {FACES}")
    tab.call("Page.bringToFront")
    aligned, trash = root / "data_src" / "aligned", root / "data_src" / "aligned_trash"
    before = names(aligned)
    click(tab, 2)
    click(tab, 4, shift=True)
    tab.wait(f"{MARKED} === 3")
    key(tab, "Delete")
    tab.wait(f"{SHOWN} === {FACES - 3}")
    assert names(trash) == ["00002.jpg", "00003.jpg", "00004.jpg"]
    other.wait(f"{SHOWN} === {FACES - 3}")  # another window shows it
    other.close()
    assert names(aligned) == [name for name in before if name not in names(trash)]

    key(tab, "Home")
    key(tab, "ArrowRight")
    key(tab, "Space", " ")
    tab.wait(f"{MARKED} === 1")
    tab.click(".bar > .write")
    tab.wait(f"{SHOWN} === {FACES - 4}")
    assert "00001.jpg" in names(trash)

    key(tab, "KeyU", "u")
    tab.wait(f"{SHOWN} === {FACES - 3}")
    assert "00001.jpg" in names(aligned)
    key(tab, "KeyU", "u")  # the step before
    tab.wait(f"{SHOWN} === {FACES}")
    assert (names(aligned), names(trash)) == (before, [])

    click(tab, 5)
    key(tab, "Delete")
    tab.wait(f"{SHOWN} === {FACES - 1}")
    choose(tab, "data_src/aligned_trash (trash)")
    tab.wait(f"{SHOWN} === 1")
    key(tab, "KeyA", "a")
    key(tab, "Delete")
    tab.wait(f"{SHOWN} === 0")
    assert (names(aligned), names(trash)) == (before, [])
    choose(tab, "src: data_src/aligned")
    tab.click("[data-name=steps]")
    tab.wait("document.querySelectorAll('.step').length >= 6")
    tab.run("[...document.querySelectorAll('.step')].at(-1).scrollIntoView()")
    assert tab.run("document.querySelector('.step button') !== null")  # what was put back


def test_layers_in_the_grid_and_over_an_enlarged_face_with_its_frame(tab):
    key(tab, "Digit1", "1")
    layered = f"{SEEN}[0].querySelector('img').src.includes('layers=landmarks')"
    tab.wait(f"{SEEN}.length === {FACES} && {layered}")
    click(tab, 3)
    key(tab, "Enter")
    tab.wait("document.querySelector('.face-viewer').dataset.state === 'shown'")
    drawn = f"[...document.querySelectorAll({OVER!r})].map(e => e.tagName + ' ' + e.classList)"
    assert tab.run(drawn) == ["polyline landmarks"] * 4 + ["polygon landmarks"] * 4
    key(tab, "Digit2", "2")
    key(tab, "Digit3", "3")
    tab.wait(f"document.querySelectorAll({OVER!r}).length === 10")
    assert tab.run(drawn)[:2] == ["image mask", "polygon include"]
    tab.wait("document.querySelector('.drawn.frame img').naturalWidth === 320")
    framed = "document.querySelector('.drawn.frame svg').getAttribute('viewBox')"
    assert tab.run(framed) == "0 0 320 180"
    box = tab.run("document.querySelector('.drawn.frame .box').getAttribute('points')")
    assert box == "40.5,20.5 140.5,20.5 140.5,120.5 40.5,120.5"
    assert tab.run("document.querySelectorAll('.drawn.frame .landmarks').length") == 8
    key(tab, "ArrowLeft")  # the face before, without a mask
    tab.wait("document.querySelector('.drawn:not(.frame) img').alt === 'Face 00002.jpg'"
             " && !document.querySelector('svg .mask')")  # fmt: skip
    assert unreadable(tab) == []
    for _ in range(3):
        key(tab, "Escape")
    tab.wait("!document.querySelector('.face-grid').hidden")
    for code in ("Digit1", "Digit2", "Digit3"):
        key(tab, code)


def test_measures_coverage_and_persons(tab):
    place = "document.querySelector('.choosing').getBoundingClientRect().top"
    before = tab.run(place)
    put(tab, "#faces-sort", "blur")  # measures by itself
    tab.wait("document.querySelector('.measuring').textContent !== ''")
    assert tab.run(place) == before  # nothing moves away under the mouse
    tab.wait("document.querySelector('.face[data-index=\"0\"] .caption')?.textContent === '0'")
    tab.click(".choosing .row button")
    tab.wait(f"document.querySelector('.face[data-index=\"0\"]').title === '{FACES - 1:05d}.jpg'")
    tab.wait("document.querySelector('.face[data-index=\"0\"] .caption').textContent === '0.11'")

    tab.click("[data-name=coverage]")
    tab.click(".coverage button.main")
    tab.wait("document.querySelectorAll('.map').length === 2"
             f" && document.querySelector('.coverage').dataset.faces === '{FACES} 5'")  # fmt: skip
    cells = "[...document.querySelectorAll('.maps section:nth-child(2) .cell')]"
    assert tab.run(f"{cells}.reduce((n, e) => n + Number(e.dataset.count), 0)") == 5
    count = tab.run(f"Number({cells}.find(e => !e.disabled).dataset.count)")
    tab.click(".maps section:nth-child(2) .cell:not(:disabled)")
    tab.wait(f"{SHOWN} === {count}")
    assert tab.run("document.querySelector('.bar select').selectedOptions[0].text")[:3] == "dst"
    tab.wait("document.querySelectorAll('.map').length === 2")
    tab.click("[data-name=choose]")
    tab.click(".filter button")
    tab.wait(f"{SHOWN} === 5")

    choose(tab, "src: data_src/aligned")
    tab.click("[data-name=persons]")
    tab.click(".row .write.main, #faces-strict ~ .row button")
    tab.wait("document.querySelectorAll('.person img').length === 2")
    assert unreadable(tab) == []
    tab.click(".person .small")
    tab.wait(f"{MARKED} === {FACES // 2}")  # those of the second person
    tab.click("[data-person='2']")
    tab.wait(f"{SHOWN} === {FACES // 2}")


def test_names_and_metadata_are_text(tab):
    choose(tab, f"data_src/aligned {TAG}")
    first = "document.querySelector('.face[data-index=\"0\"]')"
    tab.wait(f"{SHOWN} === 5 && {first}?.title.endsWith('.jpg')")
    assert tab.run(f"{first}.title") == f"{TAG}.jpg"
    tab.wait("document.querySelectorAll('.face.broken').length === 1")
    click(tab, 0)
    key(tab, "Enter")
    tab.wait("document.querySelector('.face-viewer').dataset.state === 'shown'")
    assert f"../{TAG}" in tab.run("document.querySelector('.noframe').textContent")
    assert tab.run("window.broken") is None
    key(tab, "Escape")


def test_a_server_that_only_shows_on_a_phone(tabs, root):
    with serving(root, read_only=True) as served:
        tab = tabs()
        tab.size(390, 844, phone=True)
        tab.open(served.context.instance.address)
        tab.run("void (location.hash = '#/faces')")
        tab.wait(f"{SHOWN} === {FACES}")
        click(tab, 1)
        tab.wait(f"{MARKED} === 1")
        put(tab, "#faces-sort", "yaw")
        tab.wait("document.querySelector('.measuring').textContent.includes('read-only')")
        assert tab.run("document.documentElement.scrollWidth") <= 390
        assert tab.run("[...document.querySelectorAll('.write')].every(e => e.disabled)")
        key(tab, "Delete")
        assert served.ask("/api/faces/job").json == {}
        assert tab.errors() == []
