"""Can simulated people stand in for people? `chorus eval silicon`: personas from survey rows, polled and compared."""
