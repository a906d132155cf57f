"""Runs the steps on the connection that `database` has opened. Loaded by Alembic."""

from alembic import context

from chorus.record.tables import METADATA

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=METADATA)
context.run_migrations()
