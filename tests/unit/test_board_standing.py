"""Which alerts stand, held against the definition."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stream.board.standing import Standing
from stream.records import Alert, AlertKind
from tests.alerts import alert

KINDS = (AlertKind.OUTLIER, AlertKind.END_OF_LIFE)


@st.composite
def logs(draw: st.DrawFn) -> list[Alert]:
    """What a service with transactions publishes: each alert begins, ends, begins again, a step or more later."""
    made: list[Alert] = []
    raised: dict[tuple[str, int, AlertKind], bool] = {}
    names = st.tuples(st.sampled_from(["P1", "P2"]), st.integers(0, 2), st.sampled_from(KINDS))
    step = 1
    for name, later in draw(st.lists(st.tuples(names, st.integers(0, 1)), max_size=40)):
        step += later or name in raised
        raised[name] = not raised.get(name, False)
        made.append(alert(*name, step, raised=raised[name]))
    return made


def fed(records: list[Alert]) -> Standing:
    standing = Standing()
    for record in records:
        standing.feed(record)
    return standing


@given(logs())
def test_an_alert_stands_where_the_newest_record_of_its_name_was_raised(log: list[Alert]) -> None:
    newest = {(each.pack_id, each.cell, each.kind): each for each in log}
    expected = [each for each in newest.values() if each.raised]
    standing = fed(log)
    shown = standing.newest(100)
    assert sorted(shown, key=log.index) == sorted(expected, key=log.index)
    assert [each.t_ms for each in shown] == sorted((each.t_ms for each in expected), reverse=True)
    assert standing.newest(2) == shown[:2]
    assert standing.by_kind() == {
        kind: count for kind in AlertKind if (count := sum(each.kind is kind for each in expected))
    }
    for pack_id in ("P1", "P2"):
        for cell in range(3):
            own = [each for each in expected if (each.pack_id, each.cell) == (pack_id, cell)]
            assert sorted(standing.of(pack_id, cell), key=log.index) == sorted(own, key=log.index)
    assert len(standing) == len(expected)


@given(logs(), st.data())
def test_records_that_come_again_change_nothing(log: list[Alert], data: st.DataObject) -> None:
    end = data.draw(st.integers(0, len(log)))
    again = data.draw(st.integers(0, end))
    standing = fed(log[:end])
    shown, changes = standing.newest(100), standing.changes
    for record in log[again:end]:
        standing.feed(record)
        assert standing.newest(100) == shown
    assert standing.changes == changes
    for record in log[end:]:
        standing.feed(record)
    assert standing.newest(100) == fed(log).newest(100)


def test_a_cell_that_begins_anew_has_its_alerts_from_its_own_records() -> None:
    standing = fed([alert(step=90), alert(step=1, raised=False, t_ms=1_800_000_000_000)])
    assert standing.newest(9) == []


def test_beyond_the_limit_those_that_stand_longest_are_forgotten() -> None:
    standing = Standing(most=3)
    for cell in range(5):
        standing.feed(alert(cell=cell, step=cell + 1))
    assert [each.cell for each in standing.newest(9)] == [4, 3, 2]
    assert standing.by_kind() == {AlertKind.OUTLIER: 3}


def test_an_alert_that_is_over_with_its_pack_at_the_step_it_began_at_does_not_stand_however_often_it_comes() -> None:
    begun, over = alert(step=5), alert(step=5, raised=False)
    assert len(fed([begun])) == 1
    assert len(fed([begun, over, begun, over, begun])) == 0
