"""`chorus eval baked`: a checkpoint that a chorus was baked into, beside the chorus and all its controls, in one table."""
