"""`/v1/responses`: OpenAI's newer API, and Open Responses, in front of the same debates."""
