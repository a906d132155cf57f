"""What a debate leaves behind: its events as they happen, its record afterwards."""
