// Vercel's AI SDK with its provider for OpenAI-compatible servers. Prints what it saw as JSON.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";

const [baseURL, model, ...options] = process.argv.slice(2);
const chorus = createOpenAICompatible({ name: "chorus", baseURL, includeUsage: true });
const asked = { model: chorus(model), prompt: "What is 7 * 8?", maxRetries: 0 };
const seen = {};

const whole = await generateText(asked);
Object.assign(seen, { content: whole.text, usage: whole.usage.totalTokens > 0 });

const stream = streamText(asked);
let content = "", reasoning = "", chunks = 0;
for await (const part of stream.fullStream) {
  if (part.type === "error") throw part.error;
  if (part.type === "text-delta") content += part.text ?? part.textDelta;
  if (part.type === "reasoning-delta" || part.type === "reasoning") reasoning += part.text ?? part.textDelta ?? "";
  chunks += 1;
}
const usage = await stream.usage;
Object.assign(seen, { streamed: content, reasoning, chunks, streamed_usage: usage.totalTokens > 0 });

try {
  await generateText({ ...asked, model: chorus("no-such-model") });
} catch (error) {
  seen.error = { status: error.statusCode };
}
if (options.includes("tools")) {
  const inputSchema = jsonSchema({ type: "object", properties: { city: { type: "string" } }, required: ["city"] });
  const description = "The weather in a city.";
  const weather = tool({ description, inputSchema, execute: async () => "sunny" });
  const prompt = "How is the weather in Athens?";
  const told = await generateText({ ...asked, prompt, tools: { weather }, stopWhen: stepCountIs(2) });
  const call = told.steps[0].toolCalls[0];
  Object.assign(seen, { tool: { name: call.toolName, arguments: call.input }, after_tool: told.text });
}
console.log(JSON.stringify(seen));
