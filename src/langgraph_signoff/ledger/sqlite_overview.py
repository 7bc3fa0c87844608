"""What there is to count over many tickets in a SQLite file: SQL adds up what can be added up, and the rest comes in pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

Read = Callable[[str, tuple[object, ...]], list[tuple[Any, ...]]]

_PAGE = 10_000

_WAIT = "(standing = 'pending' OR standing = 'in_doubt' OR standing = 'under_audit')"  # as the index by `asked` has it

# From each to the next: the index is asked once for every different value, not once for every row.
READ_ASKED = f"""
    WITH RECURSIVE each (asked) AS (
        SELECT (SELECT asked FROM standings INDEXED BY standings_by_asked WHERE {_WAIT} ORDER BY asked LIMIT 1)
        UNION ALL
        SELECT (
            SELECT asked FROM standings INDEXED BY standings_by_asked WHERE {_WAIT} AND asked > each.asked
            ORDER BY asked LIMIT 1
        ) FROM each WHERE each.asked IS NOT NULL
    )
    SELECT asked FROM each WHERE asked IS NOT NULL
"""
READ_QUEUES = """
    WITH RECURSIVE each (queue) AS (
        SELECT min(queue) FROM standings
        UNION ALL
        SELECT (SELECT min(queue) FROM standings WHERE queue > each.queue) FROM each WHERE each.queue IS NOT NULL
    )
    SELECT queue FROM each WHERE queue IS NOT NULL
"""
READ_LENGTH = """
    SELECT total(standing = 'pending' AND due_at > :now), total(standing = 'pending' AND due_at <= :now),
           total(standing = 'in_doubt'), min(CASE WHEN standing = 'pending' AND due_at > :now THEN opened_at END)
    FROM standings WHERE queue = :queue AND standing IN ('pending', 'in_doubt')
"""
COUNT_OPENINGS = "SELECT count(*) FROM standings WHERE opened_at >= ? OR standing = 'pending'"
READ_OPENINGS = """
    SELECT {entry} FROM (
        SELECT id FROM standings WHERE id > ? AND (opened_at >= ? OR standing = 'pending') ORDER BY id LIMIT 1000
    ) page JOIN entries ON stream = page.id AND seq = 1 LEFT JOIN contents ON contents.hash = contents_hash ORDER BY page.id
"""
COUNT_SAID = """
    SELECT (SELECT count(*) FROM standings WHERE word_at >= :since)
        + (SELECT count(*) FROM entries WHERE kind = 'decided' AND at >= :since)
"""
READ_DECIDED = f"""
    SELECT word_at, queue, standing, opened_at, id FROM standings
    WHERE word_at >= ? AND (word_at, queue, standing, opened_at, id) > (?, ?, ?, ?, ?)
    ORDER BY word_at, queue, standing, opened_at, id LIMIT {_PAGE}
"""
READ_WORDS = f"""
    SELECT at, position, queue, json_extract(body, '$.by'), json_extract(body, '$.verdict')
    FROM entries JOIN standings ON id = stream
    WHERE kind = 'decided' AND at >= ? AND (at, position) > (?, ?) ORDER BY at, position LIMIT {_PAGE}
"""


def decided(read: Read, since: str) -> Iterator[tuple[str, str, str, str]]:
    """Of each ticket whose last word is not older: queue, standing, when it was opened, when the word was said."""
    last: tuple[str, ...] = ("", "", "", "", "")
    while page := read(READ_DECIDED, (since, *last)):
        yield from ((queue, standing, opened, word) for word, queue, standing, opened, _ in page)
        last = page[-1]


def words(read: Read, since: str) -> Iterator[tuple[str, str, str]]:
    """Of each word that is not older: its ticket's queue, who said it, and which it is."""
    last: tuple[Any, ...] = ("", 0)
    while page := read(READ_WORDS, (since, *last)):
        yield from (row[2:] for row in page)
        last = page[-1][:2]
