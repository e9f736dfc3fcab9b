"""Alembic executes this file. The connection comes from `migrations.upgrade`, which owns the transaction."""

from __future__ import annotations

from alembic import context

from afterbay.store.schema import metadata

# SQLite can alter little in place: batch mode copies a table where it must. No transaction of Alembic's own: ours is
# around it.
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=False,
)
context.run_migrations()
