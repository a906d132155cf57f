"""How a debate is drawn and laid out on a page."""
