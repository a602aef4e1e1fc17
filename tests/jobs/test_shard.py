from __future__ import annotations

import pytest

from dfl_tf.errors import UsageError, WorkspaceError
from dfl_tf.jobs.shard import Shard, check_complete, lacking, total_of


@pytest.mark.parametrize("total", range(1, 9))
@pytest.mark.parametrize("count", [0, 1, 5, 8, 17])
def test_all_shards_are_all_items_in_order(total, count):
    items = list(range(count))
    shares = [shard.share(items) for shard in Shard.all_of(total)]
    assert [item for share in shares for item in share] == items
    sizes = [len(share) for share in shares]
    assert max(sizes) - min(sizes) <= 1


def test_a_shard_is_read_and_named():
    assert Shard.parse(" 3/12 ") == Shard(3, 12)
    assert (str(Shard(3, 12)), Shard(3, 12).name) == ("3/12", "3-of-12")


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "a/b", "-1/3", "1/0", "1/2/3", ""])
def test_what_is_no_shard_is_refused(text):
    with pytest.raises(UsageError, match="1/8"):
        Shard.parse(text)


def test_how_many_there_are_is_seen_by_their_names():
    assert total_of(["1-of-3", "3-of-3", "3-of-3.sha256", "notes"], "here") == 3
    assert total_of([], "here") == 0
    with pytest.raises(WorkspaceError, match="here: holds shards of 2 and 3"):
        total_of(["1-of-3", "1-of-2"], "here")


def test_what_is_not_finished_is_named():
    shard = Shard(2, 4)
    assert lacking(shard, ["a", "b"], None) == "shard 2/4 is missing"
    assert lacking(shard, ["a", "b"], ["b", "a", "c"]) == ""
    assert lacking(shard, ["a", "b"], ["b"]) == "shard 2/4 has not finished 1 of 2 frames (a)"
    assert lacking(shard, list("abcdefg"), []).endswith("7 of 7 frames (a, b, c, d, e and more)")
    check_complete(["", ""], "here", resume=False)
    check_complete(["shard 1/2 is missing"], "here", resume=True)
    with pytest.raises(WorkspaceError, match=r"here: one; two\. Run these shards again"):
        check_complete(["one", "", "two"], "here", resume=False)
