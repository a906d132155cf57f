"""Does a chorus change its mind when it should? `chorus eval beliefs`: problems whose right belief is known."""
