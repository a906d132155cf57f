"""Inspect AI with its provider for OpenAI-compatible services, as its users use it. Prints what it saw as JSON."""

import asyncio
import json
import os
import sys

from inspect_ai.model import GenerateConfig, get_model

base, model = sys.argv[1:]
os.environ |= {"CHORUS_BASE_URL": base, "CHORUS_API_KEY": "none"}


async def main() -> None:
    asked = get_model(f"openai-api/chorus/{model}", config=GenerateConfig(max_retries=0))
    reply = await asked.generate("What is 7 * 8?")
    seen = {"content": reply.message.text, "usage": reply.usage.total_tokens > 0}
    try:
        await get_model("openai-api/chorus/no-such-model", config=GenerateConfig(max_retries=0)).generate("What?")
    except Exception as error:  # noqa: BLE001 - Inspect wraps the client's errors as it likes
        seen["error"] = {"status": getattr(error, "status_code", None)}
    print(json.dumps(seen))


asyncio.run(main())
