"""The proving ground: benchmarks, and the results that they wrote. It stands on `chorus` and `personas`."""
