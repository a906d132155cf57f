// The official client for Node, as its users use it. Prints what it saw as JSON.
import OpenAI from "openai";

const [baseURL, model, ...options] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
const messages = [{ role: "user", content: "What is 7 * 8?" }];
const seen = {};

const whole = await client.chat.completions.create({ model, messages });
seen.content = whole.choices[0].message.content;
seen.usage = whole.usage.total_tokens > 0;

let content = "", reasoning = "", chunks = 0, usage = null;
for await (const chunk of await client.chat.completions.create({ model, messages, stream: true, stream_options: { include_usage: true } })) {
  chunks += 1;
  content += chunk.choices[0]?.delta.content ?? "";
  reasoning += chunk.choices[0]?.delta.reasoning_content ?? "";
  usage = chunk.usage ?? usage;
}
Object.assign(seen, { streamed: content, reasoning, chunks, streamed_usage: usage?.total_tokens > 0 });

try {
  await client.chat.completions.create({ model, messages, n: 3 });
} catch (error) {
  seen.error = { status: error.status, param: error.param };
}
if (options.includes("tools")) {
  const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
  const tools = [{ type: "function", function: { name: "weather", description: "The weather in a city.", parameters } }];
  const asked = [{ role: "user", content: "How is the weather in Athens?" }];
  const called = (await client.chat.completions.create({ model, messages: asked, tools })).choices[0].message;
  const call = called.tool_calls[0];
  seen.tool = { name: call.function.name, arguments: JSON.parse(call.function.arguments) };
  asked.push(called, { role: "tool", tool_call_id: call.id, content: "sunny" });
  seen.after_tool = (await client.chat.completions.create({ model, messages: asked, tools })).choices[0].message.content;
}
const one = await client.responses.create({ model, input: "What is 7 * 8?" });
const stream = client.responses.stream({ model, input: "What is 8 * 7?", previous_response_id: one.id });
let deltas = "";
stream.on("response.output_text.delta", (event) => (deltas += event.delta));
await stream.finalResponse();
const kept = (await client.responses.retrieve(one.id)).output_text === one.output_text;
seen.response = { text: one.output_text, debate: one.output[0].summary[0].text, streamed: deltas, kept };
seen.models = [];
for await (const listed of client.models.list()) seen.models.push(listed.id);
console.log(JSON.stringify(seen));
