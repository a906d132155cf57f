"""LangChain's OpenAI chat model, as its users use it. Prints what it saw as JSON."""

import json
import sys

import openai
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

base, model, *options = sys.argv[1:]
settings = {"base_url": base, "api_key": "none", "max_retries": 0}
chat = ChatOpenAI(model=model, stream_usage=True, **settings)
seen = {}
whole = chat.invoke("What is 7 * 8?")
seen["content"] = whole.content
seen["usage"] = whole.usage_metadata["total_tokens"] > 0

content, chunks, usage = "", 0, False
for chunk in chat.stream("What is 7 * 8?"):
    chunks += 1
    content += chunk.content
    usage = usage or bool(chunk.usage_metadata)
seen |= {"streamed": content, "chunks": chunks, "streamed_usage": usage}
try:
    ChatOpenAI(model="no-such-model", **settings).invoke("What?")
except openai.NotFoundError as error:
    seen["error"] = {"status": error.status_code, "param": error.param}
if "tools" in options:

    @tool
    def weather(city: str) -> str:
        """The weather in a city."""
        return "sunny"

    able = chat.bind_tools([weather])
    messages = [HumanMessage("How is the weather in Athens?")]
    called = able.invoke(messages)
    call = called.tool_calls[0]
    seen["tool"] = {"name": call["name"], "arguments": call["args"]}
    messages += [called, ToolMessage(weather.invoke(call["args"]), tool_call_id=call["id"])]
    seen["after_tool"] = able.invoke(messages).content
print(json.dumps(seen))
