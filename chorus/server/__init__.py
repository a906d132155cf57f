"""The HTTP endpoint: OpenAI's chat API in front of a chorus, its debates as they happen, and a page to watch them on.

Needs the extra `serve`. `app.create_app` makes the application, `run.serve` runs it.
"""
