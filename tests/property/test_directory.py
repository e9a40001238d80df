"""Laws of the directory of packs: whatever came and went, an id has the number that it was given last."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from stream.directory import Directory
from stream.pack_ids import NONE, PackIds

IDS = st.one_of(
    st.integers(0, 40).map(lambda number: f"P{number}"),
    st.text("aé", min_size=1, max_size=3),
    st.integers(1, 5).map(lambda times: "pack/" * 20 * times),
)


@settings(deadline=None)
@given(st.lists(st.tuples(IDS, st.booleans()), max_size=200), st.lists(IDS, unique=True))
def test_directory_finds_what_a_dictionary_finds_while_packs_come_and_go(turns, asked):
    directory = Directory()
    numbers: dict[str, int] = {}
    free: list[int] = []
    for pack_id, comes in turns:
        if comes and pack_id not in numbers:
            numbers[pack_id] = free.pop() if free else len(numbers)
            directory.add(pack_id, numbers[pack_id])
        elif not comes and pack_id in numbers:
            free.append(numbers.pop(pack_id))
            directory.remove(free[-1])
        names = [*numbers, *(other for other in asked if other not in numbers)]
        assert directory.find(PackIds.of(names)).tolist() == [numbers.get(name, NONE) for name in names]


def test_directory_takes_no_more_room_when_packs_come_and_go_for_long():
    directory = Directory()
    for turn in range(10_000):
        directory.add(f"P{turn}", 0)
        directory.remove(0)
    assert len(directory._table) <= 8
    assert len(directory._text) <= 64
