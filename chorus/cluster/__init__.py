"""Many questions on many machines: Ray hands them to workers, each with an engine of its own, and one process writes.

Ray promises that every question is answered at least once. That every question has exactly one record is seen to where
records are written (`chorus.record.shards`). Or debates are held here, and Ray's workers are the engine (`engines`). Ray
itself is imported in `joining` alone.
"""
