"""What goes wrong around the command: Ctrl-C, full disks, readers that leave, servers that misbehave; and a terminal."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest
from command_line import COMMAND, Command, run, start
from fake_openai_server import FakeOpenAIServer, Stream, context_too_long, error, html, in_thread, rate_limited

from chorus import Answer
from chorus.record import jsonl, transcript

QUESTION = "What is 7 * 8?"
CAST = ("--personas", "skeptic,formalist")
SCRIPT = 'default: {text: "I counted.\\nAnswer: 56", confidence: 0.7}\n'
OPTIONS = ("--engine", "scripted:s.yaml", *CAST)


@pytest.fixture(autouse=True)
def command(tmp_path, monkeypatch, capsys) -> Command:
    Path(tmp_path, "s.yaml").write_text(SCRIPT)
    return Command(tmp_path, monkeypatch, capsys)


@pytest.fixture
def server() -> Iterator[FakeOpenAIServer]:
    with in_thread(FakeOpenAIServer()) as server:
        yield server


def saved() -> Answer:
    (record,) = transcript.read("r.jsonl")
    return record


def until(reached, what: str) -> None:
    deadline = time.monotonic() + 20
    while not reached():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.01)


# Ctrl-C


def interrupted(server: FakeOpenAIServer, *flags: str) -> tuple[int, str, str]:
    """Interrupt a debate in which one turn has been spoken and two are being spoken."""
    server.replies = [Stream("I doubt it.\nAnswer: 54")]
    server.default = Stream("Let me think about that for a while", breaks="stall", break_after=3)
    asked = ("ask", QUESTION, "--engine", f"openai:{server.url}", *CAST, "--topology", "none", "--rounds", "2")
    with start(*asked, "--save", "r.jsonl", *flags) as process:
        until(lambda: len(server.chats) == 3, "the second round")
        time.sleep(0.1)  # for the words to arrive
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
    return process.returncode, out, err


def test_ctrl_c_prints_and_saves_what_was_said(server):
    code, out, err = interrupted(server)
    assert (code, err.strip()) == (130, "interrupted")
    assert "I doubt it." in out
    assert re.search(r"^Answer: +54$", out, re.M)
    assert re.search(r"^Cut short: +interrupted$", out, re.M)
    record = saved()
    assert (record.status, record.reason, record.answer) == ("cut", "interrupted", "54")
    assert sorted((turn.status, turn.text.strip()) for turn in record.turns) == [
        ("cancelled", ""),
        ("cancelled", "Let me think"),
        ("cancelled", "Let me think"),
        ("done", "I doubt it.\nAnswer: 54"),
    ]


def test_ctrl_c_leaves_scripts_with_a_whole_object(server):
    code, out, err = interrupted(server, "--json")
    assert (code, err.strip()) == (130, "interrupted")
    assert jsonl.loads(out) == saved()


def test_ctrl_c_hangs_up_on_the_server(server):
    interrupted(server, "--quiet")
    until(lambda: server.dropped >= 2, "the calls to be cancelled")
    assert server.dropped == 2


def test_ctrl_c_waits_for_no_model_to_load():
    slow = "import sys, time, chorus.engines.hf_local as hf; "
    slow += "hf._load = lambda *_: (print('loading', file=sys.stderr, flush=True), time.sleep(60)); "
    slow += "from chorus.cli import main; main()"
    with subprocess.Popen([sys.executable, "-c", slow, "ask", QUESTION], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "loading\n"
        process.send_signal(signal.SIGINT)
        process.wait(timeout=10)
        assert process.returncode == 130
        assert process.stderr.read().strip() == "interrupted"


# Outputs that take no more


def test_a_record_that_can_not_be_saved_is_printed_all_the_same(command):
    ran = command("ask", QUESTION, *OPTIONS, "--save", "/dev/full", "--json")
    assert ran.code == 3
    assert json.loads(ran.out)["answer"] == "56"
    assert ran.err == "error: can't save the debate to /dev/full: No space left on device\n"


def test_a_disk_that_is_full_keeps_the_records_it_had(command):
    assert command("ask", QUESTION, *OPTIONS, "--save", "r.jsonl").code == 0
    before = Path("r.jsonl").read_bytes()
    limit = (
        f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before) + 99}, {resource.RLIM_INFINITY}));"
    )
    full = [sys.executable, "-c", limit + COMMAND[-1], "ask", QUESTION, *OPTIONS, "--save", "r.jsonl", "-q"]
    ran = subprocess.run(full, capture_output=True, text=True, timeout=30)
    assert (ran.returncode, ran.stdout) == (3, "56\n")
    assert ran.stderr == "error: can't save the debate to r.jsonl: File too large\n"
    assert Path("r.jsonl").read_bytes() == before


def test_a_picture_that_can_not_be_written_costs_nothing_else(command):
    os.symlink("/dev/full", "d.svg")
    ran = command("ask", QUESTION, *OPTIONS, "--draw", "d.svg", "--save", "r.jsonl", "--quiet")
    assert (ran.code, ran.out) == (3, "56\n")
    assert ran.err == "error: can't draw the debate to d.svg: No space left on device\n"
    assert saved().answer == "56"


@pytest.mark.parametrize("flags", [[], ["--json"], ["--quiet"]], ids=["plain", "json", "quiet"])
def test_a_full_disk_under_the_output_is_named_and_the_record_is_saved(flags):
    with open("/dev/full", "w") as full:
        ran = run("ask", QUESTION, *OPTIONS, "--save", "r.jsonl", *flags, stdout=full)
    assert ran.code == 3
    assert ran.err == "error: can't write the output: No space left on device\n"
    assert saved().question.text == QUESTION


def test_a_reader_that_leaves_is_no_fault_and_the_record_is_saved():
    ours, theirs = os.pipe()
    os.close(ours)
    ran = run("ask", QUESTION, *OPTIONS, "--save", "r.jsonl", stdout=theirs)
    os.close(theirs)
    assert (ran.code, ran.err) == (1, "")
    assert saved().status in ("cut", "failed")


# Servers


def asked(command, server, *more: str, attempts: int = 3, patience_s: float = 60):
    settings = f"attempts = {attempts}\npatience_s = {patience_s}\n[engine_options]\ntimeout_s = 0.3\n"
    Path("chorus.toml").write_text(settings)
    return command("ask", QUESTION, "--engine", f"openai:{server.url}", *CAST, *more)


def test_a_server_that_is_down_is_named(command):
    ran = command("ask", QUESTION, "--engine", "openai:http://127.0.0.1:9/v1#m", *CAST)
    assert (ran.code, ran.out) == (3, "")
    assert ran.err.startswith("error: can't reach http://127.0.0.1:9/v1: ")
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (error(500, "worker died", headers={"retry-after": "0"}), "answered 500: worker died"),
        (rate_limited(0), "answered 429: slow down"),
        (Stream("I counted.\nAnswer: 65", breaks="hang up"), "lost the connection to"),
        (Stream("I counted.\nAnswer: 65", breaks="end"), "stream"),
        (Stream("I counted.\nAnswer: 65", breaks="garbage"), "not JSON"),
    ],
    ids=["500", "429", "hang-up", "end", "garbage"],
)
def test_a_fault_that_passes_is_tried_again(command, server, fault, told):
    server.replies = [fault]
    ran = asked(command, server)
    assert ran.code == 0
    assert re.search(rf"^\[1\.\w+\] attempt 1 failed, trying again: .*{told}", ran.out, re.M), ran.out
    assert re.search(r"^Answer: +56$", ran.out, re.M)
    assert "Answer: 65" not in ran.out, "the words of the failed attempt are void"


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (error(500, "worker died"), "answered 500: worker died"),
        (rate_limited(0), "answered 429: slow down"),
        (html(502), r"an HTML page \(Welcome to nginx\)"),
        (html(200), "HTML"),
        (context_too_long(), "maximum context length is 2048 tokens"),
        (error(401, "bad key"), "the key is read from OPENAI_API_KEY"),
        (Stream(breaks="hang up"), "lost the connection"),
        (Stream(breaks="stall"), r"no word from http://127\.0\.0\.1:\d+/v1 in 0\.3 s"),
        (Stream(first_s=60), r"no word from http://127\.0\.0\.1:\d+/v1 in 0\.3 s"),
    ],
    ids=["500", "429", "html-502", "html-200", "context", "key", "hang-up", "stall", "slow"],
)
def test_a_server_that_never_answers_well_ends_the_debate_with_its_words(command, server, fault, told):
    server.default = fault
    ran = asked(command, server, "--save", "r.jsonl", attempts=1, patience_s=0)
    assert ran.code == 3
    assert re.search(told, ran.err), ran.err
    assert ran.err.startswith("error: no answer: ")
    assert "Traceback" not in ran.err
    assert saved().status == "failed"


def test_one_voice_that_fails_is_silence_and_the_debate_goes_on(command, server):
    server.replies = [error(400, "no such thing")]
    ran = asked(command, server, "--save", "r.jsonl")
    assert ran.code == 0
    assert re.search(r"^\[1\.\w+\] The \w+ failed: .*no such thing", ran.out, re.M)
    assert (saved().status, saved().answer) == ("done", "56")


def test_a_server_that_dies_amid_the_debate_leaves_the_best_answer_so_far(command, server):
    server.replies, server.default = [Stream("Answer: 56")] * 2, error(500, "worker died")
    ran = asked(command, server, "--save", "r.jsonl", attempts=1)
    assert ran.code == 3
    assert re.search(r"^Answer: +56$", ran.out, re.M)
    assert re.search(r"^Cut short: .*worker died", ran.out, re.M)
    assert (saved().status, saved().answer) == ("cut", "56")


# A terminal


def on_a_terminal(*arguments: str) -> pexpect.spawn:
    environment = {**os.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8", "NO_COLOR": "1"}
    return pexpect.spawn(
        COMMAND[0], [*COMMAND[1:], *arguments], encoding="utf-8", env=environment, dimensions=(40, 120), timeout=20
    )


def test_a_terminal_shows_the_voices_as_they_speak_and_keeps_a_summary():
    Path("s.yaml").write_text(f"real_time: true\nlatency: {{first: 0.3, per_token: 0.05}}\n{SCRIPT}")
    terminal = on_a_terminal("ask", QUESTION, *OPTIONS)
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 0
    drawn, kept = re.split(r"\x1b\[\?25h", terminal.before, maxsplit=1)  # the cursor comes back when the drawing ends
    assert len(set(re.findall("[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏]", drawn))) > 1, "something moved while they spoke"
    kept = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", kept)
    assert kept.index("Round 1") < kept.index("The Skeptic") < kept.index("Round 2") < kept.index("Confidence")
    assert re.search(r"Answer +56", kept)


def test_ctrl_c_on_a_terminal_leaves_the_transcript_and_the_cursor():
    Path("s.yaml").write_text(
        "real_time: true\ndefault: {text: 'Answer: 56', latency: {first: 60}}\n"
        "turns: [{turn: 1.skeptic, text: 'I doubt it. Answer: 54'}]"
    )
    terminal = on_a_terminal("ask", QUESTION, *OPTIONS, "--save", "r.jsonl")
    terminal.expect("54")
    terminal.sendintr()
    terminal.expect("interrupted")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 130
    assert saved().reason == "interrupted"
