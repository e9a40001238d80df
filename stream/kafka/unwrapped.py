"""Records as the client unpacked them: it wraps each in an object of its own, which takes half of a poll's time."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from aiokafka.consumer.fetcher import FetchResult


def unwrap(consumer: Any) -> None:
    """From here on a started consumer's records have offset, timestamp, key, value and headers, and no topic.

    This reaches into the client, which offers no such way: where its inside has become another, records come wrapped
    as before, which changes nothing but the time it takes.
    """
    fetcher = getattr(consumer, "_fetcher", None)
    if isinstance(getattr(fetcher, "_records", None), OrderedDict):
        fetcher._records = _Fetched(fetcher._records)  # type: ignore[union-attr]


class _Fetched(OrderedDict[Any, Any]):
    """What is fetched of each partition and not yet returned."""

    def __setitem__(self, partition: Any, fetched: Any) -> None:
        if isinstance(fetched, FetchResult) and hasattr(fetched._partition_records, "_consumer_record"):
            fetched._partition_records._consumer_record = _as_it_is
        super().__setitem__(partition, fetched)


def _as_it_is(_partition: Any, record: Any) -> Any:
    return record
