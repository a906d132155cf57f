"""The endpoint over real HTTP: what a client sees, what it is refused, and what stops when it goes."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import openai
import pytest
from cards import baked
from serving import SCRIPT, serving, sse

pytest.importorskip("fastapi")

from chorus.debate.decide import RULES
from chorus.server.grants import MOST_TOKENS, PER_MINUTE
from chorus.server.options import Options

ASKED = [{"role": "user", "content": "What is 7 * 8?"}]
SLOW = {"real_time": True, "default": {"text": "word " * 200, "latency": {"first": 0.05, "per_token": 0.05}}}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="module")
def http(server):
    with server.client() as client:
        yield client


@pytest.fixture
def client(server):
    with openai.OpenAI(base_url=server.base, api_key="none", max_retries=0) as made:
        yield made


class TestChat:
    def test_an_answer_comes_with_the_debate_behind_it(self, client):
        whole = client.chat.completions.create(model="chorus", messages=ASKED)
        message = whole.choices[0].message
        assert (message.content, whole.choices[0].finish_reason) == ("56", "stop")
        assert "[skeptic, round 1] Seven sevens are 49" in message.reasoning_content
        assert message.reasoning == message.reasoning_content
        assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens > 0
        assert whole.chorus["confidence"] > 0.5

    def test_a_stream_is_the_debate_as_it_happens(self, client):
        stream = client.chat.completions.create(
            model="chorus", messages=ASKED, stream=True, stream_options={"include_usage": True}
        )
        chunks = list(stream)
        assert chunks[0].chorus["debate"]
        reasoning = [
            chunk.choices[0].delta.reasoning_content
            for chunk in chunks
            if chunk.choices and getattr(chunk.choices[0].delta, "reasoning_content", None)
        ]
        content = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert len(reasoning) > 10, "token by token"
        assert "[formalist, round 1] 70 less 14" in "".join(reasoning)
        assert content == "56"
        assert chunks[-1].usage.total_tokens > 0
        assert chunks[-1].choices == []

    @pytest.mark.parametrize(("model", "calls"), [("chorus-vote", 3), ("chorus-solo", 1), ("chorus-inner", 1)])
    def test_a_model_is_a_way_of_answering(self, client, http, model, calls):
        whole = client.chat.completions.create(model=model, messages=ASKED)
        record = http.get(f"/v1/debates/{whole.chorus['debate']}").json()
        assert record["usage"]["calls"] == calls

    def test_options_of_the_chorus_go_with_the_request(self, client, http):
        options = {
            "personas": ["skeptic", "tester"],
            "topology": "ring",
            "rounds": 1,
            "decision": "plurality",
            "seed": 7,
        }
        whole = client.chat.completions.create(model="chorus", messages=ASKED, extra_body={"chorus": options})
        plan = http.get(f"/v1/debates/{whole.chorus['debate']}").json()["plan"]
        assert [seat["persona"] for seat in plan["seats"]] == ["skeptic", "tester"]
        assert (plan["topology"], plan["rounds"], plan["decision"]) == ("ring", 1, "plurality")

    def test_every_rule_can_be_asked_for(self):
        allowed = Options.model_json_schema()["properties"]["decision"]["anyOf"][0]["enum"]
        assert sorted(allowed) == sorted(RULES)

    def test_answers_can_be_checked(self, client, http):
        options = {"decision": "checked", "rounds": 1}
        whole = client.chat.completions.create(model="chorus", messages=ASKED, extra_body={"chorus": options})
        record = http.get(f"/v1/debates/{whole.chorus['debate']}").json()
        assert record["decision"]["rule"] == "checked"
        assert [turn["kind"] for turn in record["turns"]].count("check") == 6

    def test_a_conversation_is_told_to_the_voices(self, client):
        messages = [
            {"role": "system", "content": "Answer in one word."},
            {"role": "user", "content": [{"type": "text", "text": "What is 6 * 8?"}]},
            {"role": "assistant", "content": "48"},
            {"role": "user", "content": "And 7 * 8?"},
        ]
        assert client.chat.completions.create(model="chorus", messages=messages).choices[0].message.content == "56"

    @pytest.mark.parametrize(
        ("field", "param"),
        [
            ({"n": 2}, "n"),
            ({"logprobs": True}, "logprobs"),
            ({"presence_penalty": 1}, "presence_penalty"),
            ({"modalities": ["audio"]}, "modalities[0]"),
            ({"temperature": 9}, "temperature"),
            ({"max_tokens": 0}, "max_tokens"),
            ({"frobnicate": 1}, "frobnicate"),
            ({"messages": []}, "messages"),
            ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, None),
            ({"chorus": {"rounds": 99}}, "chorus.rounds"),
            ({"chorus": {"mood": "gay"}}, "chorus.mood"),
            ({"chorus": {"personas": "nobody-i-know"}}, "chorus.personas"),
            ({"chorus": {"topology": "triangle"}}, "chorus.topology"),
        ],
    )
    def test_what_it_cant_do_is_refused_by_name(self, http, field, param):
        refused = http.post("/v1/chat/completions", json={"model": "chorus", "messages": ASKED, **field})
        assert refused.status_code == 400
        error = refused.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert param is None or error["param"] == param
        assert refused.headers["x-request-id"]

    def test_an_unknown_model_names_those_there_are(self, client):
        with pytest.raises(openai.NotFoundError, match="chorus-vote") as refused:
            client.chat.completions.create(model="gpt-9", messages=ASKED)
        assert refused.value.param == "model"

    def test_a_body_that_is_no_json(self, http):
        refused = http.post("/v1/chat/completions", content=b"{", headers={"content-type": "application/json"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_json")

    @pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("PUT", "/v1/models", 405)])
    def test_every_error_has_one_shape(self, http, method, path, status):
        refused = http.request(method, path)
        assert refused.status_code == status
        assert refused.json()["error"]["message"]


class TestBaked:
    def test_a_baked_checkpoint_is_a_model_beside_the_chorus(self, tmp_path):
        """It answers by itself, or with its inner voices heard, on its own engine, by the prompts it was trained on."""
        spec = baked(tmp_path / "wise-135m", "full")
        with serving(tmp_path, "--baked", spec) as server, server.client() as http:
            listed = http.get("/v1/models").json()["data"]
            assert [one["id"] for one in listed[-2:]] == ["wise-135m", "wise-135m-inner"]
            assert [one.get("grant") for one in listed[-3:]] == [None, "full", "full"]
            for model, said in (("chorus", "56"), ("wise-135m", "55"), ("wise-135m-inner", "54")):
                whole = http.post("/v1/chat/completions", json={"model": model, "messages": ASKED}).json()
                assert whole["choices"][0]["message"]["content"] == said
                assert whole["model"] == model

    def test_one_without_its_run_card_is_refused(self, tmp_path):
        from command_line import run

        ran = run("serve", "--port", "0", "--no-store", "--baked", f"hf:{tmp_path}", cwd=tmp_path)
        assert (ran.code, "has no run.json of an export" in ran.err) == (2, True)

    def test_one_without_a_card_that_stands_is_served_only_when_told_to(self, tmp_path):
        from command_line import run

        spec = baked(tmp_path / "wise-135m", None)
        ran = run("serve", "--port", "0", "--no-store", "--baked", spec, cwd=tmp_path)
        assert (ran.code, "has no legibility.json" in ran.err, "--allow-unaudited" in ran.err) == (2, True, True)
        with serving(tmp_path, "--baked", spec, "--allow-unaudited") as server, server.client() as http:
            assert http.get("/v1/models/wise-135m").json()["grant"] == "unaudited"
            whole = http.post("/v1/chat/completions", json={"model": "wise-135m", "messages": ASKED}).json()
            assert whole["chorus"]["needs_review"]["reasons"][0] == "the model is served without an audit"

    def test_a_supervised_one_has_no_tools_speaks_shortly_and_is_always_reviewed(self, tmp_path):
        spec = baked(tmp_path / "wise-135m", "supervised")
        tool = {"type": "function", "function": {"name": "add", "parameters": {}}}
        asked = {"model": "wise-135m", "messages": ASKED}
        with serving(tmp_path, "--baked", spec) as server, server.client() as http:
            refused = http.post("/v1/chat/completions", json={**asked, "tools": [tool]})
            assert (refused.status_code, refused.json()["error"]["code"]) == (403, "not_granted")
            assert http.post("/v1/chat/completions", json={**asked, "model": "chorus"}).status_code == 200
            whole = http.post("/v1/chat/completions", json={**asked, "max_tokens": 4000}).json()
            assert "supervised" in whole["chorus"]["needs_review"]["reasons"][0]
            record = http.get(f"/v1/debates/{whole['chorus']['debate']}").json()
            assert record["plan"]["max_tokens"] == MOST_TOKENS
            for _ in range(PER_MINUTE - 1):
                last = http.post("/v1/chat/completions", json=asked)
            assert last.status_code == 200
            late = http.post("/v1/chat/completions", json=asked)
            assert (late.status_code, late.json()["error"]["code"]) == (429, "rate_limit_exceeded")
            assert float(late.headers["retry-after"]) > 0


class TestForms:
    @pytest.fixture
    def client(self, tmp_path):
        answering = {"turn": "*.spokesperson", "text": '{"product": 56}'}
        script = {**SCRIPT, "turns": [answering, *SCRIPT["turns"]]}
        with (
            serving(tmp_path, "--no-store", script=script) as running,
            openai.OpenAI(base_url=running.base, api_key="none", max_retries=0) as made,
        ):
            yield made

    def test_json_that_fits_the_schema(self, client):
        schema = {"type": "object", "properties": {"product": {"type": "integer"}}, "required": ["product"]}
        form = {"type": "json_schema", "json_schema": {"name": "product", "schema": schema}}
        whole = client.chat.completions.create(model="chorus", messages=ASKED, response_format=form)
        assert json.loads(whole.choices[0].message.content) == {"product": 56}

    def test_json_that_does_not_is_an_error_and_no_answer(self, client):
        schema = {"type": "object", "properties": {"sum": {"type": "string"}}, "required": ["sum"]}
        form = {"type": "json_schema", "json_schema": {"name": "sum", "schema": schema}}
        with pytest.raises(openai.APIStatusError):
            client.chat.completions.create(model="chorus", messages=ASKED, response_format=form)


class TestDebates:
    def test_one_is_started_followed_and_taken_up_again(self, http):
        started = http.post("/v1/debates", json={"question": "What is 7 * 8?"})
        assert started.status_code == 202
        where = started.json()["events"]
        whole = sse(http.get(where).text)
        names = [message["event"] for message in whole]
        assert (names[0], names[-1]) == ("convened", "decided")
        assert [int(message["id"]) for message in whole] == list(range(len(whole)))
        rest = sse(http.get(where, headers={"Last-Event-ID": "4"}).text)
        assert rest == whole[5:], "after the fact as live"

    def test_it_is_read_explained_listed_and_erased(self, http):
        debate = http.post("/v1/debates", json={"question": "What is 7 * 8?"}).json()["id"]
        http.get(f"/v1/debates/{debate}/events")
        record = http.get(f"/v1/debates/{debate}").json()
        assert (record["schema"], record["answer"]) == (1, "56")
        told = http.get(f"/v1/debates/{debate}/explanation").text
        assert "2.skeptic changed from 54 to 56, after hearing it from" in told
        listed = http.get("/v1/debates", params={"limit": 1}).json()
        assert listed["data"][0]["id"] == debate
        assert http.delete(f"/v1/debates/{debate}").json()["deleted"] is True
        assert http.get(f"/v1/debates/{debate}").status_code == 404
        assert http.delete(f"/v1/debates/{debate}").status_code == 404

    def test_one_that_needs_a_persons_eye_says_why(self, tmp_path):
        split = {
            "real_time": True,
            "turns": [{"turn": "*.skeptic", "text": "Answer: 54"}],
            "default": {"text": "Answer: 56"},
        }
        with serving(tmp_path, script=split) as server, server.client() as http:
            body = {"model": "chorus", "messages": ASKED}
            reasons = http.post("/v1/chat/completions", json=body).json()["chorus"]["needs_review"]["reasons"]
            assert any("high dissent: 33%" in reason for reason in reasons)
            until = time.monotonic() + 10  # it is written down just after the answer has gone out
            while not (listed := http.get("/v1/debates", params={"needs_review": True}).json()["data"]):
                assert time.monotonic() < until
            assert len(listed) == 1
            assert http.get("/v1/debates", params={"needs_review": False}).json()["data"] == []

    @pytest.mark.parametrize(
        "path", ["/v1/debates/%00", "/v1/debates/%00/events", "/v1/debates?before=%00", "/v1/responses/%00"]
    )
    def test_no_id_has_a_nul_in_it(self, http, path):
        assert http.get(path).status_code == 400

    @pytest.mark.parametrize("last", ["x", "-1", "1.5"])
    def test_a_place_that_is_none(self, http, last):
        debate = http.post("/v1/debates", json={"question": "?!"}).json()["id"]
        refused = http.get(f"/v1/debates/{debate}/events", headers={"Last-Event-ID": last})
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "Last-Event-ID")


class TestLeaving:
    """When nobody waits any more, nothing is computed any more."""

    @pytest.fixture
    def slow(self, tmp_path):
        with serving(tmp_path, script=SLOW) as running:
            yield running

    def idle(self, server, within_s: float) -> bool:
        until = time.monotonic() + within_s
        while server.running():
            if time.monotonic() > until:
                return False
            time.sleep(0.05)
        return True

    @pytest.mark.parametrize("stream", [True, False])
    @pytest.mark.parametrize("path", ["chat/completions", "responses"])
    def test_every_call_stops_when_the_client_goes(self, slow, path, stream):
        body = {"model": "chorus", "stream": stream, "input" if path == "responses" else "messages": ASKED}
        asking = f"import httpx; httpx.post('{slow.base}/{path}', json={body!r}, timeout=60, trust_env=False)"
        client = subprocess.Popen([sys.executable, "-c", asking])
        until = time.monotonic() + 20
        while slow.running() < 3:
            assert time.monotonic() < until
            time.sleep(0.05)
        client.kill()
        client.wait()
        assert self.idle(slow, 5)

    def test_a_debate_can_be_cancelled(self, slow):
        with slow.client() as http:
            debate = http.post("/v1/debates", json={"question": "What is 7 * 8?"}).json()["id"]
            assert http.get(f"/v1/debates/{debate}").status_code == 409
            http.post(f"/v1/debates/{debate}/cancel")
            last = sse(http.get(f"/v1/debates/{debate}/events").text)[-1]
            assert last["data"]["answer"]["reason"] == "it was cancelled"
            assert self.idle(slow, 5)


class TestFailures:
    def test_a_failure_in_mid_stream_is_raised_by_the_client(self, tmp_path):
        dead = {
            "real_time": True,
            "default": {"text": "A few words", "fail": {"message": "the engine died", "after_tokens": 2}},
        }
        with serving(tmp_path, "--no-store", script=dead) as server:
            client = openai.OpenAI(base_url=server.base, api_key="none", max_retries=0)
            with pytest.raises(openai.APIError, match="the engine died"):
                list(client.chat.completions.create(model="chorus", messages=ASKED, stream=True))
            with pytest.raises(openai.APIStatusError) as failed:
                client.chat.completions.create(model="chorus", messages=ASKED)
            assert failed.value.status_code in (502, 503)
            client.close()

    def test_told_to_end_it_lets_debates_end_and_writes_down_what_it_cut(self, tmp_path):
        with serving(tmp_path, "--drain-seconds", "0.5", script=SLOW) as server, server.client() as http:
            debate = http.post("/v1/debates", json={"question": "What is 7 * 8?"}).json()["id"]
            assert server.stop() == 0
        with serving(tmp_path) as server, server.client() as http:
            record = http.get(f"/v1/debates/{debate}").json()
            assert record["reason"] == "the server was stopped"


class TestLimits:
    """What the server lets in, and how long it lets it take."""

    def test_a_debate_that_the_queue_has_no_room_for_is_sent_away(self, tmp_path):
        """Three voices over two rounds are six engine calls; two debates fit, the third is told to come back."""
        body = {"question": "What is 7 * 8?"}
        with serving(tmp_path, "--calls-waiting", "12", script=SLOW) as server, server.client() as http:
            assert [http.post("/v1/debates", json=body).status_code for _ in range(2)] == [202, 202]
            refused = http.post("/v1/chat/completions", json={"model": "chorus", "messages": ASKED})
            assert (refused.status_code, refused.json()["error"]["code"]) == (429, "busy")
            assert int(refused.headers["retry-after"]) >= 1
            assert "x-should-retry" not in refused.headers

    def test_more_tokens_than_the_window_holds_are_the_requests_fault(self, http):
        body = {"model": "chorus", "messages": ASKED, "max_tokens": 20_000}
        told = http.post("/v1/chat/completions", json=body)
        assert (told.status_code, told.json()["error"]["code"]) == (400, "context_length_exceeded")
        assert "lower --max-tokens" in told.json()["error"]["message"]

    @pytest.mark.parametrize("form", [None, {"type": "json_object"}])
    def test_a_request_whose_time_is_over_is_told_so(self, tmp_path, form):
        """Ten seconds a turn; with a format the debate leaves a third of the time for the answer, which is too little."""
        quick = {"text": "Answer: 56"} if form else SLOW["default"]
        late = {"turn": "*.spokesperson", **SLOW["default"]}
        script = {"real_time": True, "turns": [late] if form else [], "default": quick}
        body = {"model": "chorus", "messages": ASKED, "response_format": form, "chorus": {"budget": {"seconds": 0.6}}}
        with serving(tmp_path, script=script) as server, server.client() as http:
            began = time.monotonic()
            told = http.post("/v1/chat/completions", json=body)
            assert (told.status_code, told.json()["error"]["code"]) == (504, "deadline_exceeded")
            assert time.monotonic() - began < 5
            over = {"model": "chorus", "messages": ASKED, "chorus": {"budget": {"seconds": 601}}}
            assert http.post("/v1/chat/completions", json=over).json()["error"]["param"] == "chorus.budget.seconds"

    def test_a_request_can_be_traced_to_its_user(self, tmp_path):
        with serving(tmp_path, "--log-requests") as server, server.client() as http:
            body = {"model": "chorus-solo", "messages": ASKED, "user": "anna\n"}
            http.post("/v1/chat/completions", json=body, headers={"x-request-id": "r1"})
            http.get("/health")
            server.stop()
        assert any("r1 POST /v1/chat/completions 200" in line and "user='anna\\n'" in line for line in server.said)


class TestKeys:
    def test_with_keys_nobody_sees_what_is_anothers(self, tmp_path):
        from command_line import run

        secrets = [
            run("keys", "create", name, *limit, cwd=tmp_path).out.strip()
            for name, limit in (("Anna", ()), ("Bob", ("--requests-per-minute", "1")))
        ]
        with serving(tmp_path, "--keys") as server:
            anna, bob = ({"Authorization": f"Bearer {secret}"} for secret in secrets)
            with server.client() as http:
                assert http.get("/v1/models").status_code == 401
                body = {"model": "chorus", "messages": ASKED}
                debate = http.post("/v1/chat/completions", json=body, headers=anna).json()["chorus"]["debate"]
                assert http.get(f"/v1/debates/{debate}", headers=anna).status_code == 200
                assert http.get(f"/v1/debates/{debate}", headers=bob).status_code == 404
                assert http.get("/v1/debates", headers=bob).json()["data"] == []
                assert http.post("/v1/chat/completions", json=body, headers=bob).status_code == 200
                refused = http.post("/v1/chat/completions", json=body, headers=bob)
                assert (refused.status_code, int(refused.headers["retry-after"]) > 0) == (429, True)

    @pytest.mark.parametrize(
        ("arguments", "wrong"),
        [
            (("--host", "0.0.0.0", "--no-keys"), "whoever reaches"),
            (("--keys", "--no-store"), "keys are kept in the store"),
            (("--mode", "vote"), "no --mode: a model's name says the mode, chorus, chorus-vote"),
            (("--gate",), "no --gate: a model's name says the mode"),
        ],
    )
    def test_it_does_not_listen_where_anybody_could_use_it_or_otherwise_than_was_meant(
        self, tmp_path, arguments, wrong
    ):
        from command_line import run

        ran = run("serve", "--port", "0", *arguments, cwd=tmp_path)
        assert ran.code == 2
        assert wrong in ran.err

    def test_every_address_of_this_machine_is_this_machine(self, tmp_path):
        with serving(tmp_path, "--host", "127.0.0.2", "--no-store") as server, server.client() as http:
            assert http.get("/ready").status_code == 200
            headers = {"Origin": server.url}
            assert http.post("/v1/debates", json={"question": "?!"}, headers=headers).status_code == 202

    @pytest.mark.parametrize(
        "headers",
        [{"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Origin": "http://["}, {"Origin": "null"}],
    )
    def test_without_keys_no_other_site_can_ask(self, http, headers):
        refused = http.post("/v1/debates", json={"question": "?!"}, headers=headers)
        assert refused.status_code == 403


def test_health_and_counters(http):
    assert http.get("/health").json() == {"status": "ok"}
    assert http.get("/ready").json() == {"status": "ready"}
    assert "chorus_debates_total" in http.get("/metrics").text
    assert "/v1/chat/completions" in http.get("/openapi.json").json()["paths"]


def test_the_page_is_served_under_a_strict_policy(http):
    page = http.get("/")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert http.get("/page/main.js").status_code == 200
    assert "http://" not in page.text.replace("http://www.w3.org", "")
