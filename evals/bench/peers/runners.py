"""Small programs of ours that drive a peer's real package, run by the Python of that peer's own environment.

Each reads one JSON object from standard input (`url`, `model`, `voices`, `rounds`, `max_tokens`, `questions`, `personas`)
and prints one JSON line a question: `{"id", "text", "wall_s", "error"}`. They are texts, since nothing of this project
is importable where they run.
"""

from __future__ import annotations

FRAME = """
import json, logging, sys, time
job = json.load(sys.stdin)
logging.disable(logging.CRITICAL)
out = sys.stdout
sys.stdout = sys.stderr

def each(answer):
    for question in job["questions"]:
        began = time.perf_counter()
        try:
            text, error = str(answer(question["text"])), None
        except Exception as fault:
            text, error = "", f"{type(fault).__name__}: {fault}"[:300]
        line = {"id": question["id"], "text": text, "wall_s": time.perf_counter() - began, "error": error}
        print(json.dumps(line), file=out, flush=True)
"""

ITS_HUB = (
    FRAME
    + """
import asyncio
from its_hub import AdaptiveSelfConsistency, LMOrchestrator, OpenAICompatibleLanguageModel

def projected(text):
    return text.lower().rpartition("answer:")[2].strip(" .*\\n") or text.strip().lower()

lm = OpenAICompatibleLanguageModel(
    endpoint=job["url"], api_key="none", model_name=job["model"], max_tokens=job["max_tokens"], temperature=0.7
)
method = AdaptiveSelfConsistency(consistency_space_projection_func=projected, orchestrator=LMOrchestrator())

def answer(text):
    reply = asyncio.run(method.ainfer(lm, text, budget=job["voices"]))
    return reply["content"] if isinstance(reply, dict) else reply

each(answer)
"""
)

OPTILLM = (
    FRAME
    + """
from openai import OpenAI
client = OpenAI(base_url=job["proxy"], api_key="none", max_retries=0, timeout=600)

def answer(text):
    reply = client.chat.completions.create(
        model=job["approach"] + "-" + job["model"],
        messages=[{"role": "user", "content": text}],
        max_tokens=job["max_tokens"],
        extra_body={"k": job["voices"]},
    )
    return reply.choices[0].message.content

each(answer)
"""
)

MALLM = (
    FRAME
    + """
import tempfile
import httpx
from openai import OpenAI
from mallm.coordinator import Coordinator
from mallm.models.Chat import Chat
from mallm.models.personas.PersonaGenerator import PersonaGenerator
from mallm.utils import dicts
from mallm.utils.config import Config
from mallm.utils.types import InputExample, WorkerFunctions

class Cast(PersonaGenerator):
    def __init__(self, llm):
        self.llm = llm

    @classmethod
    def generate_persona(cls, task_description, already_generated_personas, sample):
        name, summary = job["personas"][len(already_generated_personas)]
        return {"role": name, "description": summary}

dicts.PERSONA_GENERATORS["cast"] = Cast

def unused(*_):
    raise RuntimeError("this needs a sentence-transformers model from the hub")

chat = Chat(client=OpenAI(base_url=job["url"], api_key="none"), model=job["model"], max_tokens=job["max_tokens"])
config = Config(
    input_json_file_path="-", output_json_file_path="-", task_instruction_prompt="Answer the question.",
    endpoint_url=job["url"], model_name=job["model"], max_turns=job["rounds"], skip_decision_making=True,
    discussion_paradigm="memory", response_generator="simple", decision_protocol="simple_voting",
    use_chain_of_thought=False, num_agents=job["voices"],
)

def answer(text):
    example = InputExample(example_id="1", dataset_id=None, inputs=[text], context=None, references=[])
    coordinator = Coordinator(model=chat, client=httpx.Client(), agent_generators=["cast"] * job["voices"])
    return coordinator.discuss(config, example, WorkerFunctions(unused, unused, unused))[0]

each(answer)
"""
)
