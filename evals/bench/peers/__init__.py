"""Other programs that have several voices answer, measured beside the chorus on one vLLM server."""
