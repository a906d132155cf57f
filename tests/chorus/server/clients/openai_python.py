"""The official client for Python, as its users use it. Prints what it saw as JSON."""

import json
import sys

from openai import APIStatusError, OpenAI

base, model, *options = sys.argv[1:]
client = OpenAI(base_url=base, api_key="none", max_retries=0)
messages = [{"role": "user", "content": "What is 7 * 8?"}]
whole = client.chat.completions.create(model=model, messages=messages)
seen = {"content": whole.choices[0].message.content, "usage": whole.usage.total_tokens > 0}

content, reasoning, chunks, usage = "", "", 0, None
for chunk in client.chat.completions.create(
    model=model, messages=messages, stream=True, stream_options={"include_usage": True}
):
    chunks += 1
    if chunk.choices:
        content += chunk.choices[0].delta.content or ""
        reasoning += getattr(chunk.choices[0].delta, "reasoning_content", None) or ""
    usage = chunk.usage or usage
seen |= {"streamed": content, "reasoning": reasoning, "chunks": chunks, "streamed_usage": usage.total_tokens > 0}
try:
    client.chat.completions.create(model=model, messages=messages, n=3)
except APIStatusError as error:
    seen["error"] = {"status": error.status_code, "param": error.param}
if "tools" in options:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    function = {"name": "weather", "description": "The weather in a city.", "parameters": schema}
    tools = [{"type": "function", "function": function}]
    messages = [{"role": "user", "content": "How is the weather in Athens?"}]
    called = client.chat.completions.create(model=model, messages=messages, tools=tools).choices[0].message
    call = called.tool_calls[0]
    seen["tool"] = {"name": call.function.name, "arguments": json.loads(call.function.arguments)}
    messages += [called, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
    told = client.chat.completions.create(model=model, messages=messages, tools=tools)
    seen["after_tool"] = told.choices[0].message.content
one = client.responses.create(model=model, input="What is 7 * 8?")
seen["response"] = {"text": one.output_text, "debate": one.output[0].summary[0].text}
with client.responses.stream(model=model, input="What is 8 * 7?", previous_response_id=one.id) as events:
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
seen["response"] |= {"streamed": "".join(deltas), "kept": client.responses.retrieve(one.id) == one}
seen["models"] = [listed.id for listed in client.models.list()]
print(json.dumps(seen))
