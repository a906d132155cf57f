"""LiteLLM, as its users use it. Prints what it saw as JSON."""

import json
import sys

import litellm

base, model, *options = sys.argv[1:]
litellm.suppress_debug_info = True
asked = {
    "model": f"openai/{model}",
    "api_base": base,
    "api_key": "none",
    "messages": [{"role": "user", "content": "What is 7 * 8?"}],
    "num_retries": 0,
}
seen = {}
whole = litellm.completion(**asked)
seen["content"] = whole.choices[0].message.content
seen["usage"] = whole.usage.total_tokens > 0

content, reasoning, chunks, usage = "", "", 0, False
for chunk in litellm.completion(**asked, stream=True, stream_options={"include_usage": True}):
    chunks += 1
    if chunk.choices:
        content += chunk.choices[0].delta.content or ""
        reasoning += getattr(chunk.choices[0].delta, "reasoning_content", None) or ""
    usage = usage or bool(getattr(chunk, "usage", None) and chunk.usage.total_tokens)
seen |= {"streamed": content, "reasoning": reasoning, "chunks": chunks, "streamed_usage": usage}
try:
    litellm.completion(**asked | {"model": "openai/no-such-model"})
except litellm.exceptions.NotFoundError as error:
    seen["error"] = {"status": error.status_code}
if "tools" in options:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    function = {"name": "weather", "description": "The weather in a city.", "parameters": schema}
    asked |= {"tools": [{"type": "function", "function": function}]}
    messages = [{"role": "user", "content": "How is the weather in Athens?"}]
    called = litellm.completion(**asked | {"messages": messages}).choices[0].message
    call = called.tool_calls[0]
    seen["tool"] = {"name": call.function.name, "arguments": json.loads(call.function.arguments)}
    messages += [called.model_dump(), {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
    seen["after_tool"] = litellm.completion(**asked | {"messages": messages}).choices[0].message.content
print(json.dumps(seen))
