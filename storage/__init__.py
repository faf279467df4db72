"""PostgreSQL, migrations, repositories and the event bus."""
