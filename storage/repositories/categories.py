"""Categories: what rooms are about; made by administrators."""

from dataclasses import dataclass
from uuid import UUID

from storage.database import Executor, Row
from storage.ids import new_id


@dataclass(frozen=True, slots=True)
class Category:
    """``slug`` is its name in addresses and queries."""

    id: UUID
    slug: str
    name: str


@dataclass(frozen=True, slots=True)
class CategoryActivity:
    """``live_rooms`` and ``viewers`` count the public rooms of the category that are live now."""

    category: Category
    live_rooms: int
    viewers: int


class Categories:
    def __init__(self, database: Executor) -> None:
        self._database = database

    async def add(self, slug: str, name: str) -> Category:
        """Raises Conflict when the slug is taken, InvalidValue."""
        row = await self._database.fetch_row(
            "INSERT INTO categories (id, slug, name) VALUES ($1, $2, $3) RETURNING id, slug, name",
            new_id(),
            slug,
            name,
        )
        return _category(row)

    async def find(self, category_id: UUID) -> Category | None:
        row = await self._database.fetch_row(
            "SELECT id, slug, name FROM categories WHERE id = $1", category_id
        )
        return _category(row) if row else None

    async def find_by_slug(self, slug: str) -> Category | None:
        row = await self._database.fetch_row("SELECT id, slug, name FROM categories WHERE slug = $1", slug)
        return _category(row) if row else None

    async def change(self, category_id: UUID, slug: str | None, name: str | None) -> Category | None:
        """None leaves a value as it is. Raises Conflict when the slug is taken, InvalidValue."""
        row = await self._database.fetch_row(
            """UPDATE categories SET slug = coalesce($2, slug), name = coalesce($3, name)
               WHERE id = $1 RETURNING id, slug, name""",
            category_id,
            slug,
            name,
        )
        return _category(row) if row else None

    async def delete(self, category_id: UUID) -> bool:
        """Say whether there was one. Its rooms stay, without a category."""
        row = await self._database.fetch_row("DELETE FROM categories WHERE id = $1 RETURNING id", category_id)
        return row is not None

    async def page(self, limit: int, after_slug: str | None) -> list[CategoryActivity]:
        """By slug, from the one after ``after_slug`` on."""
        rows = await self._database.fetch(
            """SELECT picked.id, picked.slug, picked.name, live.rooms, live.viewers
               FROM (SELECT id, slug, name FROM categories WHERE $2::text IS NULL OR slug > $2
                     ORDER BY slug LIMIT $1) AS picked
               LEFT JOIN (SELECT category_id, count(*) AS rooms, sum(viewers) AS viewers
                          FROM room_live_state JOIN rooms ON rooms.id = room_id
                          WHERE visibility = 'public' GROUP BY category_id) AS live
                    ON live.category_id = picked.id
               ORDER BY picked.slug""",
            limit,
            after_slug,
        )
        return [CategoryActivity(_category(row), row["rooms"] or 0, row["viewers"] or 0) for row in rows]


def _category(row: Row) -> Category:
    return Category(row["id"], row["slug"], row["name"])
