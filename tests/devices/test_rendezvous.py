"""Processes of a cluster meet, in threads of one process with short limits; no TensorFlow."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from dfl_tf.devices import rendezvous
from dfl_tf.devices.cluster import Cluster, WorkerLost
from dfl_tf.devices.rendezvous import meet
from dfl_tf.errors import UsageError
from tests.devices.ports import free_ports


def addresses(count: int) -> tuple[str, ...]:
    return tuple(f"127.0.0.1:{port}" for port in free_ports(count))


@pytest.fixture
def soon(monkeypatch):
    monkeypatch.setattr(rendezvous, "SAY_AFTER", 0.3)
    monkeypatch.setattr(rendezvous, "_TICK", 0.05)
    monkeypatch.setattr(rendezvous, "_GRACE", 3.0)


def all_meet(places, indices, timeout: float = 20.0) -> list[tuple[object, list[str]]]:
    """Let some processes meet, each in a thread; returns what each raised and what it said."""

    def one(index: int) -> tuple[object, list[str]]:
        said: list[str] = []
        try:
            meet(Cluster(places, index), timeout=timeout, say=said.append)
        except Exception as error:
            return error, said
        return None, said

    with ThreadPoolExecutor(len(indices)) as pool:
        return list(pool.map(one, indices))


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_all_go_on_when_all_are_there(soon, order):
    assert [error for error, _ in all_meet(addresses(3), order)] == [None, None, None]


def test_chief_and_workers_say_who_is_missing_and_give_up(soon):
    places = addresses(3)
    for error, said in all_meet(places, (0, 1), timeout=1.0):
        assert isinstance(error, WorkerLost)
        assert error.exit_code == 1
        text = f"worker 2 ({places[2]})"
        assert str(error).startswith(f"{text} did not arrive within 1 s (--worker-timeout)")
        assert [line.partition(",")[0] for line in said] == [f"waiting for {text}"]


def test_a_worker_that_gives_up_first_still_names_the_missing_one(soon, monkeypatch):
    """The chief waits longer here; a worker that has reached it does not call it missing."""
    monkeypatch.setattr(rendezvous, "_GRACE", 0.2)
    places = addresses(3)
    with ThreadPoolExecutor(1) as pool:
        chief = pool.submit(all_meet, places, (0,), 8.0)
        ((error, _),) = all_meet(places, (1,), timeout=2.0)
        assert str(error).startswith(f"worker 2 ({places[2]}) did not arrive within 2 s")
        assert isinstance(chief.result()[0][0], WorkerLost)


def test_a_worker_without_a_chief_gives_up(soon):
    places = addresses(3)
    ((error, said),) = all_meet(places, (1,), timeout=1.0)
    assert isinstance(error, WorkerLost)
    assert str(error).startswith(f"the chief ({places[0]}) did not arrive within 1 s")
    assert "onnection refused" in str(error)
    assert said[0].startswith(f"waiting for the chief ({places[0]})")


def test_a_chief_that_listens_and_says_nothing_is_not_waited_for_for_ever(soon):
    places = addresses(2)
    with socket.create_server(("127.0.0.1", int(places[0].split(":")[1]))):
        ((error, _),) = all_meet(places, (1,), timeout=0.5)
    assert "it is there, but does not answer" in str(error)


def test_a_worker_that_is_gone_again_is_missing(soon):
    places = addresses(2)
    port = int(places[0].split(":")[1])

    def come_and_go() -> None:
        for _ in range(100):
            try:
                one = socket.create_connection(("127.0.0.1", port))
            except OSError:
                time.sleep(0.02)
                continue
            one.sendall(f"dfl_tf 1 1 {rendezvous._fingerprint(Cluster(places, 1))}".encode())
            one.close()  # no end of line: never counted
            return

    other = threading.Thread(target=come_and_go)
    other.start()
    ((error, _),) = all_meet(places, (0,), timeout=1.0)
    other.join()
    assert f"worker 1 ({places[1]}) did not arrive" in str(error)


def test_other_programs_and_wrong_workers_do_not_disturb(soon):
    places = addresses(2)
    port = int(places[0].split(":")[1])
    with ThreadPoolExecutor(2) as pool:
        chief = pool.submit(all_meet, places, (0,))
        strange = None
        while strange is None:
            try:
                strange = socket.create_connection(("127.0.0.1", port))
            except OSError:
                time.sleep(0.02)
        strange.sendall(b"GET / HTTP/1.1\r\n\r\n" + b"\xff" * 10000)
        other = Cluster((places[0], addresses(1)[0]), 1)
        with pytest.raises(UsageError, match=r"refuses worker 1: its cluster is 127"):
            meet(other, timeout=5, say=print)
        with pytest.raises(UsageError, match="refuses worker 5: it has no worker 5"):
            rendezvous._join(
                rendezvous._Waiting(Cluster(places, 5), time.monotonic() + 5, 5, print)
            )
        assert all_meet(places, (1,)) == [(None, [])]
        assert chief.result() == [(None, [])]
        strange.close()


def test_two_workers_of_one_number(soon):
    places = addresses(3)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(all_meet, places, (0, 1), 3.0)
        time.sleep(0.5)
        waiting = rendezvous._Waiting(Cluster(places, 1), time.monotonic() + 3, 3, print)
        with pytest.raises(UsageError, match="another process with --worker-index 1 is there"):
            rendezvous._join(waiting)
        assert all_meet(places, (2,)) == [(None, [])]
        assert [error for error, _ in first.result()] == [None, None]


@pytest.mark.parametrize("index", [0, 1])
def test_a_port_in_use_is_named(soon, index):
    places = addresses(2)
    with (
        socket.create_server(("", int(places[index].split(":")[1]))),
        pytest.raises(UsageError, match=rf"cannot listen on port \d+ for {places[index]}"),
    ):
        meet(Cluster(places, index), timeout=1, say=print)
