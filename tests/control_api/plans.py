"""Which tables a repository's queries read from end to end, on a database as large as a real one.

``ExplainingDatabase`` asks PostgreSQL for the plan of every statement that goes through it, before it is run.
``calls`` makes calls of a method out of its signature, so that a new query needs no test of its own.
"""

import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, is_dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from inspect import Parameter, signature
from itertools import islice, product
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints
from uuid import UUID

from bench.api_load import population as people
from storage.database import Database, PoolOptions

LARGE_TABLE_ROWS = 1000
MAX_CALLS = 64
PLANNED = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "MERGE", "(SELECT")


@dataclass(frozen=True, slots=True)
class Scan:
    """``table`` is read as a whole by ``sql``."""

    table: str
    sql: str
    arguments: tuple[Any, ...] = ()

    def __str__(self) -> str:
        return f"{self.table} is read as a whole by {self.sql} with {self.arguments}"


class ExplainingDatabase(Database):
    """``scans`` are the sequential scans of large tables so far; ``statements`` counts what was explained."""

    def __init__(self, url: str) -> None:
        super().__init__(url, PoolOptions(size=2))
        self.scans: list[Scan] = []
        self.statements = 0

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        async with super()._connection() as connection:
            yield _ExplainingConnection(connection, self)


class _ExplainingConnection:
    """An asyncpg connection that explains before it runs."""

    def __init__(self, connection: Any, database: ExplainingDatabase) -> None:
        self._connection = connection
        self._database = database

    def transaction(self, **options: Any) -> Any:
        return self._connection.transaction(**options)

    async def fetch(self, sql: str, *arguments: Any, **options: Any) -> Any:
        await self._explain(sql, arguments)
        return await self._connection.fetch(sql, *arguments, **options)

    async def fetchrow(self, sql: str, *arguments: Any, **options: Any) -> Any:
        await self._explain(sql, arguments)
        return await self._connection.fetchrow(sql, *arguments, **options)

    async def fetchval(self, sql: str, *arguments: Any, **options: Any) -> Any:
        await self._explain(sql, arguments)
        return await self._connection.fetchval(sql, *arguments, **options)

    async def execute(self, sql: str, *arguments: Any, **options: Any) -> Any:
        await self._explain(sql, arguments)
        return await self._connection.execute(sql, *arguments, **options)

    async def executemany(self, sql: str, rows: Sequence[Any], **options: Any) -> Any:
        for row in islice(rows, 1):
            await self._explain(sql, row)
        return await self._connection.executemany(sql, rows, **options)

    async def _explain(self, sql: str, arguments: Sequence[Any]) -> None:
        if not sql.lstrip().upper().startswith(PLANNED):
            return
        plan = json.loads(await self._connection.fetchval(f"EXPLAIN (FORMAT JSON) {sql}", *arguments))
        self._database.statements += 1
        for table in set(_scanned(plan[0]["Plan"])):
            rows = await self._connection.fetchval(
                "SELECT reltuples FROM pg_class WHERE oid = $1::text::regclass", table
            )
            if rows > LARGE_TABLE_ROWS:
                self._database.scans.append(Scan(table, sql, tuple(arguments)))


def _scanned(node: Mapping[str, Any]) -> Iterator[str]:
    if node["Node Type"] in {"Seq Scan", "Sample Scan"}:
        yield node["Relation Name"]
    for child in node.get("Plans", ()):
        yield from _scanned(child)


NAMED_VALUES: Mapping[str, Any] = {
    "room_id": people.room_id(3),
    "category_id": next(iter(people.categories()))[0],
    "category": people.category_slug(1),
    "slug": people.room_slug(4),
    "username": people.username(9),
    "name": people.username(9),
    "email": f"{people.username(9)}@bench.invalid",
    "tag": people.tag(2),
    "role": "moderator",
    "state": "active",
    "oldest": people.user_id(10),
    "limit": 20,
    "data": "{}",
    "details": "{}",
}
"""What a parameter of this name is given, whatever its type, where that fits."""
IDS = [people.user_id(number) for number in range(4000, 4020)]
"""Of users as most are: for a very popular one, to read a whole table may be right."""
NOW = datetime(2026, 1, 2, tzinfo=UTC)
PLAIN_VALUES: Mapping[Any, Any] = {
    UUID: IDS[0],
    str: "golden",
    bytes: bytes(range(32)),
    int: 5,
    float: 1.0,
    bool: True,
    datetime: NOW,
    timedelta: timedelta(hours=1),
    object: "golden",
    Any: "golden",
}


def calls(method: Any) -> Iterator[dict[str, Any]]:
    """Arguments of calls of ``method``: each combination of what is optional, and each Enum member."""
    hints = get_type_hints(method)
    parameters = list(signature(method).parameters.values())[1:]
    choices = [list(_choices(parameter, hints[parameter.name])) for parameter in parameters]
    names = [parameter.name for parameter in parameters]
    for values in islice(product(*choices), MAX_CALLS):
        yield dict(zip(names, values, strict=True))


def _choices(parameter: Parameter, hint: Any) -> Iterator[Any]:
    named = NAMED_VALUES.get(parameter.name)
    if named is not None and isinstance(named, _plain_types(hint)):
        yield named
        if NoneType in get_args(hint):
            yield None
    else:
        yield from _values(hint)


def _plain_types(hint: Any) -> tuple[type, ...]:
    return tuple(kind for kind in (hint, *get_args(hint)) if kind in PLAIN_VALUES and isinstance(kind, type))


def _values(hint: Any) -> Iterator[Any]:
    """Values of a type. Raises LookupError for one that is not known here."""
    hint = getattr(hint, "__supertype__", hint)
    origin = get_origin(hint)
    if hint is NoneType:
        yield None
    elif hint is bool:
        yield from (True, False)
    elif hint in PLAIN_VALUES:
        yield PLAIN_VALUES[hint]
    elif origin in (Union, UnionType):
        for part in get_args(hint):
            yield from _values(part)
    elif origin is Literal:
        yield from get_args(hint)
    elif origin is not None:
        yield from _collections(origin, get_args(hint))
    elif isinstance(hint, type) and issubclass(hint, Enum):
        yield from hint
    elif isinstance(hint, type) and (is_dataclass(hint) or issubclass(hint, tuple)):
        yield from _records(hint)
    else:
        raise LookupError(f"no value of {hint} is known: add one to tests/control_api/plans.py")


def _records(kind: type) -> Iterator[Any]:
    hints = get_type_hints(kind)
    names = [name for name in signature(kind).parameters if name in hints]
    parameters = [signature(kind).parameters[name] for name in names]
    choices = [list(_choices(parameter, hints[parameter.name])) for parameter in parameters]
    most = max(map(len, choices), default=1)
    # Each field takes each of its values, but not with each value of the others.
    for turn in range(most):
        yield kind(**{name: values[turn % len(values)] for name, values in zip(names, choices, strict=True)})


def _collections(origin: Any, arguments: Sequence[Any]) -> Iterator[Any]:
    if origin is tuple and Ellipsis not in arguments:
        yield tuple(next(_values(argument)) for argument in arguments)
    elif issubclass(origin, Mapping):
        yield {next(_values(arguments[0])): next(_values(arguments[1]))}
    elif arguments[0] is UUID:
        yield origin_of(origin)(IDS)
    else:
        yield origin_of(origin)([next(_values(arguments[0]))])


def origin_of(origin: Any) -> Any:
    return origin if origin in (tuple, list, set, frozenset) else list
