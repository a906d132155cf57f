"""Language models behind one protocol (`base.py`), opened by SPEC (`registry.py`)."""
