"""Text can be read (contrast AA); the tests of the views look at them when they show something."""

from __future__ import annotations

import time

import pytest

from dfl_tf.web.views import VIEWS

from .support.contrast import texts, unreadable


@pytest.mark.parametrize("view", [view.name for view in VIEWS])
def test_every_text_has_contrast(tabs, served, view):
    tab = tabs()
    tab.size(1280, 720)
    tab.open(served.context.instance.address)
    tab.open(f"{served.context.instance.place}?{view}#/{view}")
    tab.wait(f"!!document.querySelector('main .view.{view} *')")
    time.sleep(0.5)
    assert len(texts(tab)) > 5
    assert unreadable(tab) == []


def test_a_text_that_is_too_dim_is_found(tabs, served):
    tab = tabs()
    tab.open(served.context.instance.address)
    tab.wait("document.querySelectorAll('main *').length > 5")
    tab.run(
        "document.querySelector('main').insertAdjacentHTML('beforeend', '<b id=\"dim\">dim</b>');"
        "const e = document.querySelector('#dim');"
        "e.style.color = '#556'; e.style.background = '#334'"
    )
    (row,) = unreadable(tab)
    assert row[0] == "dim"
    assert 1 < row[2] < 2
