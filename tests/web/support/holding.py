"""Answers of the server that come late."""

from __future__ import annotations

import json
import time

from chromium import Tab

_HOLD = """(() => {
  if (!window.answers) {
    const ask = window.fetch;
    window.fetch = async (place, how) => {
      const got = await ask(place, how);
      const { wanted, held } = window.answers;
      if (!wanted || held || (how?.method ?? 'GET') !== wanted.method) return got;
      if (!String(place).includes(wanted.part)) return got;
      if (!(await got.clone().text()).includes(wanted.said)) return got;
      await new Promise((go) => { window.answers.held = go; });
      return got;
    };
  }
  window.answers = { wanted: %s, held: null };
})()"""


def hold(tab: Tab, part: str, method: str = "GET", said: str = "") -> None:
    """Hold the next answer of an address with this part, and with this text in it."""
    tab.run(_HOLD % json.dumps({"part": part, "method": method, "said": said}))


def wait_for_held(tab: Tab) -> None:
    """Wait until the server has answered."""
    tab.wait("window.answers.held !== null")


def release(tab: Tab) -> None:
    """Let the answer come, and give the page time for it."""
    tab.run("(window.answers.wanted = null, window.answers.held())")
    time.sleep(0.3)
