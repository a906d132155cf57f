"""Two real servers on one real PostgreSQL: whatever a client asks of the one holds at the other."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from command_line import run
from serving import Server, serving, sse

pytest.importorskip("fastapi")

from sqlalchemy import select

from chorus.record.database import open_database
from chorus.record.packing import unpacked, unpacked_lines
from chorus.record.tables import DEBATES
from chorus.server.keys import KeyRing

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(300)]

QUESTION = {"question": "What is 7 * 8?"}
ASKED = {"model": "chorus", "messages": [{"role": "user", "content": "What is 7 * 8?"}]}
RESPONSE = {"model": "chorus", "input": "What is 7 * 8?"}
SLOW = {
    "real_time": True,
    "default": {"text": "word " * 40 + "Answer: 56", "latency": {"first": 0.05, "per_token": 0.05}},
}
"""Two rounds of two seconds each."""


@pytest.fixture(scope="module")
def url(postgres):
    return postgres.database()


@pytest.fixture(scope="module")
def secret(url):
    return key(url, "Anna")


def key(url, name, **limits):
    """Make a key as an operator does, and return its secret."""

    async def make():
        ring = await KeyRing.open(url)
        _, secret = await ring.create(name, **limits)
        await ring.aclose()
        return secret

    return asyncio.run(make())


@contextlib.contextmanager
def replicas(folder, url, *options, script=None):
    """Two servers that are started at once."""
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(2) as starting:
        folders = [folder / name for name in ("one", "two")]
        for one in folders:
            one.mkdir()
        started = [serving(one, "--store", url, "--keys", *options, script=script) for one in folders]
        entered = [starting.submit(one.__enter__) for one in started]
        for one in started:
            stack.push(one)
        yield [one.result() for one in entered]


@pytest.fixture(scope="module")
def pair(url, tmp_path_factory):
    with replicas(tmp_path_factory.mktemp("pair"), url, "--lease-seconds", "3", script=SLOW) as servers:
        yield servers


@pytest.fixture
def both(pair, secret):
    """A client for each."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(client(server, secret)) for server in pair]


def client(server: Server, secret: str) -> httpx.Client:
    return server.client(headers={"Authorization": f"Bearer {secret}"})


def until(true, within_s=20.0):
    """Wait for something that happens in another process."""
    late = time.monotonic() + within_s
    while not (what := true()):
        assert time.monotonic() < late
        time.sleep(0.05)
    return what


def begun(http) -> str:
    started = http.post("/v1/debates", json=QUESTION)
    assert started.status_code == 202, started.text
    return started.json()["id"]


def followed(http, debate, last=None, most=None):
    """Read a debate's events behind the last one seen, at most so many, and return them with their ids."""
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    seen = []
    with http.stream("GET", f"/v1/debates/{debate}/events", headers=headers) as reply:
        assert reply.status_code == 200
        lines = []
        for line in reply.iter_lines():
            lines.append(line)
            if not line:
                seen += sse("\n".join(lines) + "\n")
                lines = []
                if most is not None and len(seen) >= most:
                    break
    return seen


def ids(events):
    return [int(event["id"]) for event in events]


class TestEvents:
    def test_a_debate_is_followed_live_at_the_other(self, both):
        debate = begun(both[0])
        until(lambda: both[1].get(f"/v1/debates/{debate}").status_code == 409)
        first = followed(both[1], debate, most=20)
        assert both[0].get(f"/v1/debates/{debate}").status_code == 409, "it is still under way"
        assert both[1].get("/v1/debates", params={"limit": 1}).json()["data"][0]["status"] == "running"
        rest = followed(both[1], debate, last=first[-1]["id"])
        assert ids(first + rest) == list(range(len(first) + len(rest)))
        assert rest[-1]["event"] == "decided"
        assert first + rest == followed(both[0], debate) == followed(both[1], debate)
        assert both[0].get(f"/v1/debates/{debate}").text == both[1].get(f"/v1/debates/{debate}").text
        assert both[1].get(f"/v1/debates/{debate}/explanation").status_code == 200

    def test_they_come_as_soon_as_there(self, both):
        """Half a second later at most: they are aired ten times a second, and a notice wakes the reader."""
        debate, came = begun(both[0]), {}

        def follow(name, http):
            until(lambda: http.get(f"/v1/debates/{debate}").status_code == 409)
            with http.stream("GET", f"/v1/debates/{debate}/events") as reply:
                for line in reply.iter_lines():
                    if line.startswith("id: "):
                        came.setdefault(int(line[4:]), {})[name] = time.monotonic()

        readers = [threading.Thread(target=follow, args=pair) for pair in zip("ab", both, strict=True)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(60)
        late = sorted(one["b"] - one["a"] for one in came.values())
        assert len(late) > 50
        assert late[len(late) // 2] < 0.5

    def test_a_reader_that_is_sent_now_here_now_there_misses_nothing(self, both):
        debate, seen = begun(both[0]), []
        until(lambda: both[1].get(f"/v1/debates/{debate}").status_code == 409)
        for http in itertools.cycle(both):
            seen += followed(http, debate, last=seen[-1]["id"] if seen else None, most=15)
            if seen[-1]["event"] == "decided":
                break
        assert ids(seen) == list(range(len(seen)))
        assert seen == followed(both[0], debate)

    def test_a_chat_is_followed_too(self, both):
        with both[0].stream("POST", "/v1/chat/completions", json={**ASKED, "stream": True}) as reply:
            chunks = (json.loads(line[6:]) for line in reply.iter_lines() if line.startswith("data: {"))
            debate = next(chunks)["chorus"]["debate"]
            until(lambda: both[1].get(f"/v1/debates/{debate}").status_code == 409)
            assert ids(followed(both[1], debate, most=10))[0] == 0
            for _ in chunks:
                pass
        assert until(lambda: both[1].get(f"/v1/debates/{debate}").json().get("status")) == "done"

    def test_another_key_sees_nothing_at_either(self, both, pair, url):
        debate, bob = begun(both[0]), key(url, "Bob")
        for server in pair:
            with client(server, bob) as http:
                for path in ("", "/events", "/explanation"):
                    assert http.get(f"/v1/debates/{debate}{path}").status_code == 404
                assert http.delete(f"/v1/debates/{debate}").status_code == 404
                assert http.post(f"/v1/debates/{debate}/cancel").status_code == 404


class TestResponses:
    def test_a_conversation_goes_now_here_now_there(self, both):
        """Without waiting: what was answered here may not be written down yet when there it is gone on from."""
        body, last = {"model": "chorus-solo", "input": "What is 7 * 8?", "max_output_tokens": 4}, None
        for http in (*both, *both):
            told = http.post("/v1/responses", json={**body, "previous_response_id": last})
            assert (told.status_code, told.json().get("previous_response_id")) == (200, last), told.text
            last = told.json()["id"]
        assert both[0].get(f"/v1/responses/{last}").json() == told.json()
        assert both[0].delete(f"/v1/responses/{last}").json()["deleted"] is True
        refused = both[1].post("/v1/responses", json={**body, "previous_response_id": last})
        assert refused.json()["error"]["code"] == "previous_response_not_found"

    def test_one_under_way_is_read_and_erased_at_the_other(self, both, pair):
        with both[0].stream("POST", "/v1/responses", json={**RESPONSE, "stream": True}) as reply:
            lines = reply.iter_lines()
            begun = next(json.loads(line[6:]) for line in lines if line.startswith("data: {"))["response"]
            where = f"/v1/responses/{begun['id']}"
            until(lambda: both[1].get(where).status_code == 200)
            assert both[1].get(where).json() == both[0].get(where).json() == begun
            assert begun["status"] == "in_progress"
            assert both[1].delete(where).json()["deleted"] is True
        until(lambda: not pair[0].running(), within_s=5)
        assert [http.get(where).status_code for http in both] == [404, 404]

    def test_one_that_is_cut_with_its_server_has_failed_and_can_be_erased(self, url, secret, tmp_path):
        with replicas(tmp_path, url, "--lease-seconds", "1", script=SLOW) as (one, two), client(two, secret) as there:
            with (
                contextlib.suppress(httpx.TransportError),
                client(one, secret) as here,
                here.stream("POST", "/v1/responses", json={**RESPONSE, "stream": True}) as reply,
            ):
                lines = reply.iter_lines()
                begun = next(json.loads(line[6:]) for line in lines if line.startswith("data: {"))["response"]
                where = f"/v1/responses/{begun['id']}"
                until(lambda: there.get(where).status_code == 200)
                one.process.send_signal(signal.SIGKILL)
                for _ in lines:
                    pass
            told = until(lambda: (now := there.get(where).json())["status"] != "in_progress" and now)
            assert (told["status"], told["error"]["code"]) == ("failed", "server_error")
            assert told["error"]["message"] == "no answer: the server stopped"
            on = there.post("/v1/responses", json={**RESPONSE, "previous_response_id": begun["id"]})
            assert on.json()["error"]["code"] == "previous_response_not_completed"
            assert there.delete(where).json()["deleted"] is True
            assert there.get(where).status_code == 404

    @pytest.mark.parametrize("path", ["/v1/debates/%00", "/v1/debates?before=%00", "/v1/responses/resp_%00"])
    def test_an_id_that_the_database_can_not_look_for(self, both, path):
        assert both[0].get(path).status_code == 400
        on = both[0].post("/v1/responses", json={**RESPONSE, "previous_response_id": "resp_\0"})
        assert (on.status_code, on.json()["error"]["param"]) == (400, "previous_response_id")


class TestEnding:
    def test_a_debate_is_cancelled_from_the_other(self, both, pair):
        debate = begun(both[0])
        until(lambda: both[1].post(f"/v1/debates/{debate}/cancel").status_code == 202)
        last = followed(both[1], debate)[-1]
        assert last["data"]["answer"]["reason"] == "it was cancelled"
        until(lambda: not pair[0].running(), within_s=5)

    def test_a_debate_is_erased_from_the_other(self, both, pair):
        """While it is under way: its voices stop, and nothing of it is left at either."""
        debate = begun(both[0])
        until(lambda: both[1].get(f"/v1/debates/{debate}").status_code == 409)
        assert both[1].delete(f"/v1/debates/{debate}").json()["deleted"] is True
        assert not pair[0].running()
        for http in both:
            assert http.get(f"/v1/debates/{debate}").status_code == 404
            assert http.get(f"/v1/debates/{debate}/events").status_code == 404
        assert both[0].delete(f"/v1/debates/{debate}").status_code == 404

    def test_one_that_is_over_is_erased_from_the_other(self, both):
        debate = both[0].post("/v1/chat/completions", json={**ASKED, "model": "chorus-solo"}).json()["chorus"]["debate"]
        until(lambda: both[1].get(f"/v1/debates/{debate}").status_code == 200)
        assert both[1].delete(f"/v1/debates/{debate}").status_code == 200
        assert both[0].get(f"/v1/debates/{debate}").status_code == 404

    def test_the_operator_erases_one_under_way(self, both, pair, url, tmp_path):
        debate = begun(both[0])
        until(lambda: both[1].get(f"/v1/debates/{debate}").status_code == 409)
        assert run("store", "erase", debate, "--store", url, cwd=tmp_path).code == 0
        until(lambda: both[0].get(f"/v1/debates/{debate}").status_code == 404)
        until(lambda: not pair[0].running(), within_s=5)


class TestKeys:
    def test_a_rate_holds_over_both(self, pair, url):
        asking = key(url, "Carl", requests_per_minute=5)
        body = {**ASKED, "model": "chorus-solo", "max_tokens": 1}
        with contextlib.ExitStack() as stack, ThreadPoolExecutor(6) as clients:
            https = [stack.enter_context(client(server, asking)) for server in pair]
            posts = [clients.submit(https[n % 2].post, "/v1/chat/completions", json=body) for n in range(12)]
            statuses = Counter(post.result().status_code for post in posts)
        assert statuses == {200: 5, 429: 7}

    def test_a_days_tokens_are_counted_over_both(self, pair, url):
        asking = key(url, "Dora", tokens_per_day=1)
        body = {**ASKED, "model": "chorus-solo", "max_tokens": 1}
        with client(pair[0], asking) as one, client(pair[1], asking) as two:
            assert one.post("/v1/chat/completions", json=body).status_code == 200
            until(lambda: two.post("/v1/chat/completions", json=body).status_code == 429)

    def test_a_key_that_is_revoked_is_useless_at_both(self, pair, url, tmp_path):
        asking = key(url, "Emil")
        name = asking.removeprefix("sk-chorus-").partition("-")[0]
        with client(pair[0], asking) as one, client(pair[1], asking) as two:
            assert [http.get("/v1/models").status_code for http in (one, two)] == [200, 200]
            assert run("keys", "revoke", name, "--store", url, cwd=tmp_path).code == 0
            assert [http.get("/v1/models").status_code for http in (one, two)] == [401, 401]


class TestFaults:
    def test_a_server_that_is_killed_leaves_nothing_running(self, url, secret, tmp_path):
        with replicas(tmp_path, url, "--lease-seconds", "1", script=SLOW) as (one, two):
            with client(one, secret) as http:
                debate = begun(http)
            with client(two, secret) as http, ThreadPoolExecutor(1) as reading:
                until(lambda: http.get(f"/v1/debates/{debate}").status_code == 409)
                reader = reading.submit(followed, http, debate)
                time.sleep(1)
                one.process.send_signal(signal.SIGKILL)
                seen = reader.result(30)
                assert ids(seen[:-1]) == list(range(len(seen) - 1))
                assert len(seen) > 10
                assert seen[-1]["data"]["error"]["code"] == "broken_off"
                kept = http.get("/v1/debates", params={"limit": 1, "needs_review": True}).json()["data"][0]
                assert (kept["id"], kept["status"]) == (debate, "cut")
                assert kept["needs_review"]["reasons"] == ["the server stopped"]
                assert http.get(f"/v1/debates/{debate}").json()["error"]["code"] == "no_record"
                assert ids(followed(http, debate)[:-1]) == ids(seen[:-1]), "what was said stays readable"

    def test_a_database_that_is_gone_for_a_while(self, postgres, url, secret, tmp_path):
        """Requests are refused clearly meanwhile, what was under way is written down later, and readers go on reading."""
        with (
            replicas(tmp_path, url, "--lease-seconds", "2", script=SLOW) as (one, two),
            contextlib.ExitStack() as stack,
        ):
            here, there = (stack.enter_context(client(server, secret)) for server in (one, two))
            reading = stack.enter_context(ThreadPoolExecutor(1))
            assert here.get("/ready").json() == {"status": "ready"}
            debate = begun(here)
            until(lambda: there.get(f"/v1/debates/{debate}").status_code == 409)
            reader = reading.submit(followed, there, debate)
            time.sleep(0.5)
            postgres.stop()
            try:
                for http in (here, there):
                    refused = http.post("/v1/chat/completions", json=ASKED)
                    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "store_unavailable")
                    assert int(refused.headers["retry-after"]) > 0
                    ready = http.get("/ready")
                    assert (ready.status_code, ready.json()["status"]) == (503, "the store is out of reach")
                    assert http.get("/health").status_code == 200
                until(lambda: not one.running())
                time.sleep(2.5)  # longer than a lease: nobody may be taken for dead afterwards
            finally:
                postgres.start()
            for http in (here, there):
                until(lambda http=http: http.get("/ready").status_code == 200)
                assert http.post("/v1/chat/completions", json={**ASKED, "model": "chorus-solo"}).status_code == 200
            seen = reader.result(30)
            assert ids(seen) == list(range(len(seen)))
            assert seen[-1]["event"] == "decided"
            until(lambda: there.get(f"/v1/debates/{debate}").status_code == 200)
            assert there.get(f"/v1/debates/{debate}").json()["status"] == "done"


class TestRollingRestart:
    def test_what_is_under_way_ends_where_it_began_and_who_reads_on_misses_nothing(self, url, secret, tmp_path):
        """One server is told to end amid a streamed chat, a debate of its own with a reader at each, and a reader here of a
        debate that the other one holds."""
        with (
            replicas(tmp_path, url, script=SLOW) as (one, two),
            client(one, secret) as here,
            client(two, secret) as there,
            ThreadPoolExecutor(4) as going,
        ):
            chat = going.submit(here.post, "/v1/chat/completions", json={**ASKED, "stream": True})
            own, others = begun(here), begun(there)
            until(lambda: there.get(f"/v1/debates/{own}").status_code == 409)
            until(lambda: here.get(f"/v1/debates/{others}").status_code == 409)
            readers = [going.submit(followed, http, own) for http in (here, there)]
            guest = going.submit(followed, here, others)
            time.sleep(1)
            one.process.send_signal(signal.SIGTERM)
            until(lambda: here.get("/ready").status_code == 503)
            refused = here.post("/v1/debates", json=QUESTION)
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "stopping")
            assert int(refused.headers["retry-after"]) > 0
            assert there.post("/v1/debates", json=QUESTION).status_code == 202
            chunks = chat.result(30).text
            assert chunks.endswith("data: [DONE]\n\n")
            said = "".join(chunk["data"]["choices"][0]["delta"].get("content") or "" for chunk in sse(chunks))
            assert said == "56"
            whole, elsewhere = (reader.result(30) for reader in readers)
            assert whole == elsewhere
            assert (ids(whole), whole[-1]["event"]) == (list(range(len(whole))), "decided")
            seen = guest.result(30)
            assert 0 < len(seen) < len(whole), "it was sent away in the middle"
            assert one.process.wait(40) == 0
            rest = followed(there, others, last=seen[-1]["id"])
            assert ids(seen + rest) == list(range(len(seen) + len(rest)))
            assert rest[-1]["event"] == "decided"

    def test_under_load_every_request_is_answered_and_nothing_is_half_written(self, postgres, tmp_path):
        """Each server is stopped and started again, one after the other, while clients ask on: each of them goes to the
        other server where one refuses or is gone, as a load balancer does."""
        url = postgres.database()
        secret = key(url, "Anna")
        ends, stop, answered = Counter(), threading.Event(), []

        def start(stack, place):
            folder = tmp_path / ("one", "two")[place]
            servers[place] = stack.enter_context(serving(folder, "--store", url, "--keys"))

        def ask(number):
            """Ask until told to stop, and note how each request ended."""
            for turn in itertools.count(number):
                if stop.is_set():
                    return
                ends[asked(turn)] += 1
                time.sleep(0.2)

        def asked(turn):
            for attempt in range(20):
                server = servers[(turn + attempt) % 2]
                try:
                    with client(server, secret) as http:
                        reply = http.post("/v1/chat/completions", json=ASKED)
                except httpx.TransportError:
                    pass
                else:
                    if reply.status_code == 200:
                        whole = reply.json()
                        answered.append(whole["chorus"]["debate"])
                        return f"answered {whole['choices'][0]['message']['content']}"
                    if reply.status_code != 503:
                        return f"{reply.status_code} {reply.text}"
                time.sleep(0.1)
            return "given up"

        with replicas(tmp_path, url) as servers, contextlib.ExitStack() as stack:
            clients = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
            for one in clients:
                one.start()
            for place in (0, 1):
                time.sleep(1.5)
                assert servers[place].stop() == 0
                start(stack, place)
            time.sleep(1.5)
            stop.set()
            for one in clients:
                one.join(40)
            assert set(ends) == {"answered 56"}, ends
            assert len(set(answered)) == len(answered) == ends["answered 56"] > 20
            for server in servers:
                assert server.stop() == 0
        # Both servers have ended in good order: what they left is all that there will be.
        rows = asyncio.run(kept(url))
        for status, record, events in rows.values():
            assert status == record in ("done", "cut", "failed")
            assert events[-1].startswith('{"event":"decided"')
        assert set(answered) <= {debate for debate, (status, *_) in rows.items() if status == "done"}


async def kept(url):
    """Every debate in the database by its id: its status, that of its record, and its events."""
    database = await open_database(url)
    columns = (DEBATES.c.id, DEBATES.c.status, DEBATES.c.answer, DEBATES.c.events)
    rows = await database.read(lambda connection: connection.execute(select(*columns)).all())
    await database.aclose()
    return {
        row.id: (row.status, json.loads(unpacked(row.id, row.answer))["status"], unpacked_lines(row.id, row.events))
        for row in rows
    }
