"""The debate: who hears whom, what each voice reads, when it speaks, and what comes of it."""
