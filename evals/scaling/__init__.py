"""How accuracy grows with personas, rounds, tokens or model size: `chorus eval scaling`."""
