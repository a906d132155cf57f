"""How the store's schema came to be as it is, step by step, by Alembic."""
