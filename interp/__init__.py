"""The laboratory, where the circuits that personas became are looked for. It stands on `chorus` and `personas`."""
