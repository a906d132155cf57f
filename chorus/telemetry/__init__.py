"""What an operator sees of a chorus at work: counters on the engine layer, and traces of debates.

Neither is needed to hold a debate, and what neither asks for costs nothing. Both need the extra `telemetry`, which is
imported only when one of them is switched on.
"""
