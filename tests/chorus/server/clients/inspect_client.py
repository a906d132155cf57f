"""Inspect AI with its provider for OpenAI-compatible services, as its users use it. Prints what it saw as JSON."""

import asyncio
import json
import os
import sys

from inspect_ai.model import ChatMessageTool, ChatMessageUser, GenerateConfig, get_model
from inspect_ai.tool import ToolInfo, ToolParams

base, model, *options = sys.argv[1:]
os.environ |= {"CHORUS_BASE_URL": base, "CHORUS_API_KEY": "none"}


async def main() -> None:
    asked = get_model(f"openai-api/chorus/{model}", config=GenerateConfig(max_retries=0))
    reply = await asked.generate("What is 7 * 8?")
    seen = {"content": reply.message.text, "usage": reply.usage.total_tokens > 0}
    if not isinstance(reply.message.content, str):
        seen["reasoning"] = "".join(part.reasoning for part in reply.message.content if part.type == "reasoning")
    if "tools" in options:
        schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
        parameters = ToolParams.model_validate(schema)
        tools = [ToolInfo(name="weather", description="The weather in a city.", parameters=parameters)]
        messages = [ChatMessageUser(content="How is the weather in Athens?")]
        called = (await asked.generate(messages, tools=tools)).message
        call = called.tool_calls[0]
        seen["tool"] = {"name": call.function, "arguments": call.arguments}
        messages += [called, ChatMessageTool(content="sunny", tool_call_id=call.id, function=call.function)]
        seen["after_tool"] = (await asked.generate(messages, tools=tools)).message.text
    try:
        await get_model("openai-api/chorus/no-such-model", config=GenerateConfig(max_retries=0)).generate("What?")
    except Exception as error:  # noqa: BLE001 - Inspect wraps the client's errors as it likes
        seen["error"] = {"status": getattr(error, "status_code", None)}
    print(json.dumps(seen))


asyncio.run(main())
