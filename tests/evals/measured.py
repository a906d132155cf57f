"""Stand-ins where something is measured: a server on loopback that computes nothing and counts as vLLM does, a tokenizer."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator, Sequence

from fake_openai_server import FakeOpenAIServer, Stream, in_thread


class CountingServer:
    """What `evals.bench.served.Served` is to a benchmark. Every word of a prompt is computed, and none cached."""

    def __init__(self, fake: FakeOpenAIServer) -> None:
        self.fake = fake
        self.url = fake.url
        self.model = "fake"
        self.resets = 0

    def counters(self) -> dict[str, float]:
        chats = self.fake.chats
        counted = dict.fromkeys(("cached_tokens", "served_s", "prefill_s", "decode_s", "running", "waiting"), 0.0)
        return counted | {
            "prompt_tokens": sum(len(message["content"].split()) for chat in chats for message in chat["messages"]),
            "completion_tokens": sum(chat["max_tokens"] for chat in chats),
            "calls": len(chats),
        }

    settled = counters

    def reset(self) -> None:
        self.resets += 1


@contextlib.contextmanager
def counting_server(model: str = "", arguments: Sequence[str] = ()) -> Iterator[CountingServer]:
    """Run one; its answers are as long as it is allowed to make them, up to 100 words. Takes what `serve` takes."""
    with in_thread(FakeOpenAIServer(default=Stream("so " * 99 + "so."), max_model_len=100_000)) as fake:
        yield CountingServer(fake)


def letters(messages: list[dict[str, str]]) -> list[int]:
    """A tokenizer of four characters a token."""
    text = "".join(message["content"] for message in messages)
    return [zlib.crc32(text[start : start + 4].encode()) for start in range(0, len(text), 4)]
