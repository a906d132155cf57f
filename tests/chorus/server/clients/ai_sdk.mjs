// Vercel's AI SDK with its provider for OpenAI-compatible servers. Prints what it saw as JSON.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, streamText } from "ai";

const [baseURL, model] = process.argv.slice(2);
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
console.log(JSON.stringify(seen));
