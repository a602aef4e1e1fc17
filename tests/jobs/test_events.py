from __future__ import annotations

import logging
import threading

import pytest

from dfl_tf.jobs.events import Closed, Event, Events, Lines, Message, captured_logging


class Kept:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)

    @property
    def texts(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Message)]


def test_what_rooms_log_ends_in_the_sinks():
    kept = Kept()
    with captured_logging(Events([kept])):
        logging.getLogger("dfl_tf.data.stream").warning("skipping %s", "a.jpg")
        logging.getLogger("dfl_tf.video.sound").info("no sound")
        logging.getLogger("another").warning("not ours")
    logging.getLogger("dfl_tf.data.stream").setLevel(logging.NOTSET)
    assert kept.events == [
        Message("skipping a.jpg", "warning", "dfl_tf.data.stream"),
        Message("no sound", "info", "dfl_tf.video.sound"),
    ]


def test_of_nested_contexts_the_inner_one_takes_what_is_logged():
    outer, inner = Kept(), Kept()
    log = logging.getLogger("dfl_tf.merge")
    with captured_logging(Events([outer])):
        log.warning("before")
        with captured_logging(Events([inner])):
            log.warning("within")
        log.warning("after")
    assert (outer.texts, inner.texts) == (["before", "after"], ["within"])


def test_a_terminal_shows_warnings_and_what_is_said(capsys):
    log = Events([Lines()])
    with captured_logging(log):
        logging.getLogger("dfl_tf.merge").info("hidden")
        logging.getLogger("dfl_tf.merge").warning("shown")
    log.say("said")
    assert capsys.readouterr().err.splitlines() == ["shown", "said"]


def test_a_sink_that_cannot_be_written_is_left_out_and_the_others_are_told():
    class Full(Kept):
        name = "the log"

        def emit(self, event: Event) -> None:
            super().emit(event)
            if not isinstance(event, Closed):
                raise OSError(28, "No space left on device")

    full, kept = Full(), Kept()
    log = Events([full, kept])
    for text in ("one", "two"):
        log.say(text)
    assert isinstance(full.events[-1], Closed)
    told = "warning: the log cannot be written any more (No space left on device): left out"
    assert kept.texts == [told, "one", "two"]


@pytest.mark.parametrize("text", ["warning: a", "error: b", "c"])
def test_the_level_is_that_of_the_first_word(text):
    kept = Kept()
    Events([kept]).say(text)
    (event,) = kept.events
    assert isinstance(event, Message)
    assert event.level == {"w": "warning", "e": "error", "c": "info"}[text[0]]


def test_events_of_several_threads_do_not_mix():
    class Slow(Kept):
        inside = 0

        def emit(self, event: Event) -> None:
            self.inside += 1
            assert self.inside == 1
            super().emit(event)
            self.inside -= 1

    slow = Slow()
    log = Events([slow])
    threads = [
        threading.Thread(target=lambda: [log.say("x") for _ in range(200)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(slow.events) == 800
