"""The webhook against a real receiver: signed, tried again, taken up by the next server, and kept off private networks."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import sqlite3
import threading
import time
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from command_line import run
from serving import serving

pytest.importorskip("fastapi")

import httpcore

from chorus import Chorus
from chorus.engines.script import Script
from chorus.engines.scripted import ScriptedEngine
from chorus.errors import ConfigError
from chorus.record.outbox import Lost
from chorus.record.store import Store
from chorus.server import webhook
from chorus.server.app import create_app
from chorus.server.outside import NotPublic, Outside, is_public
from chorus.server.webhook import Webhook

KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
SPLIT = {
    "real_time": True,
    "turns": [{"turn": "*.skeptic", "text": "Answer: 54"}, {"contains": "7 * 9", "text": "Answer: 63"}],
    "default": {"text": "Answer: 56"},
}
"""The skeptic holds out, which a person should look at."""
SLOW = {"real_time": True, "default": {"text": "Answer: 56", "latency": {"first": 60}}}
QUESTION = {"question": "What is 7 * 8?"}
ASKED = {"model": "chorus", "messages": [{"role": "user", "content": "What is 7 * 8?"}]}


class Receiver:
    """Somebody's server. Answers with the statuses it is given, then with 204."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.slow_s = 0.0
        self._more = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                with receiver._more:
                    receiver.got.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                    receiver._more.notify_all()
                time.sleep(receiver.slow_s)
                self.send_response(receiver.statuses.pop(0) if receiver.statuses else 204)
                self.send_header("location", "/elsewhere")
                self.end_headers()

            do_GET = do_POST

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def wait_for(self, count: int) -> None:
        with self._more:
            assert self._more.wait_for(lambda: len(self.got) >= count, 15)

    async def got_so_many(self, count: int) -> None:
        await asyncio.to_thread(self.wait_for, count)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.close()


@asynccontextmanager
async def app(folder, url, pauses_s=(0.05,) * 4, script=SPLIT, secret=SECRET, database=None):
    """A server with this webhook, and a client for it."""
    store = await Store.open(database or f"sqlite:///{folder}/debates.db", tell=webhook.message_of_lost)
    chorus = Chorus(ScriptedEngine(Script.model_validate(script)), "skeptic,estimator,formalist", rounds=1)
    hook = Webhook(url, secret, store.outbox, allow_private=True, pauses_s=pauses_s)
    made = create_app(chorus, store=store, webhook=hook)
    try:
        async with (
            made.router.lifespan_context(made),
            httpx.AsyncClient(transport=httpx.ASGITransport(made), base_url="http://localhost") as client,
        ):
            yield client, made.state.service
    finally:
        await store.aclose()


def test_reasons_go_out_as_they_are_as_far_as_there_is_room_for_them():
    lost = Lost("d1", "anna", "chorus", "?", "a tie was broken: 54; 56")
    assert json.loads(webhook.message_of_lost(lost))["data"]["reasons"] == [lost.why]
    many = Lost("d1", "anna", "chorus", "?", "x" * 3000)
    assert json.loads(webhook.message_of_lost(many))["data"]["reasons"] == ["x" * webhook.MAX_CHARS]


async def empty(service):
    """Wait until every debate is written down, and nothing is left to be sent."""
    await service.hall.empty()
    async with asyncio.timeout(15):
        while await service.store.outbox.seconds() is not None:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.02)


def verify(headers, body, key=KEY):
    """As https://www.standardwebhooks.com has it, by hand."""
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert f"v1,{expected}" in headers["webhook-signature"].split()
    assert abs(time.time() - int(headers["webhook-timestamp"])) < 60


async def test_an_answer_that_needs_a_look_is_told_of_and_signed(receiver, tmp_path):
    async with app(tmp_path, receiver.url) as (client, service):
        debate = (await client.post("/v1/chat/completions", json=ASKED)).json()["chorus"]["debate"]
        await receiver.got_so_many(1)
        await empty(service)
    ((path, headers, body),) = receiver.got
    assert path == "/hook"
    verify(headers, body)
    message = json.loads(body)
    assert (message["type"], message["data"]["debate"]) == ("answer.needs_review", debate)
    assert (message["data"]["question"], message["data"]["answer"]) == ("What is 7 * 8?", "56")
    assert any("high dissent" in reason for reason in message["data"]["reasons"])


async def test_one_that_needs_none_is_not_nor_one_that_nobody_keeps(receiver, tmp_path):
    async with app(tmp_path, receiver.url) as (client, service):
        options = {"personas": ["estimator", "formalist"]}
        agreed = (await client.post("/v1/chat/completions", json={**ASKED, "chorus": options})).json()
        assert agreed["chorus"]["needs_review"] is None
        unkept = {"model": "chorus", "input": "What is 7 * 8?", "store": False}
        assert (await client.post("/v1/responses", json=unkept)).json()["chorus"]["needs_review"]
        await service.hall.empty()
        assert await service.store.outbox.seconds() is None
    assert receiver.got == []


async def test_one_that_is_erased_under_way_is_told_of_to_nobody(receiver, tmp_path, monkeypatch):
    """It was cut short, which would be a reason: its question is in the message."""
    told = []
    async with app(tmp_path, receiver.url, script=SLOW) as (client, service):
        monkeypatch.setattr("chorus.server.ledger.message", lambda live, _: told.append(live.cancelled) or "{}")
        erased, cancelled = [(await client.post("/v1/debates", json=QUESTION)).json()["id"] for _ in range(2)]
        assert (await client.delete(f"/v1/debates/{erased}")).json()["deleted"] is True
        await client.post(f"/v1/debates/{cancelled}/cancel")
        await service.hall.empty()
    assert told == ["it was cancelled"]


async def test_it_is_tried_again_under_one_id_and_no_redirect_is_followed(receiver, tmp_path):
    receiver.statuses = [500, 302, 429]
    async with app(tmp_path, receiver.url) as (client, service):
        await client.post("/v1/chat/completions", json=ASKED)
        await receiver.got_so_many(4)
        await empty(service)
    assert {path for path, _, _ in receiver.got} == {"/hook"}
    assert len({headers["webhook-id"] for _, headers, _ in receiver.got}) == 1
    for _, headers, body in receiver.got:
        verify(headers, body)


async def test_what_is_never_taken_is_given_up_and_stays_in_the_list(receiver, tmp_path, caplog):
    receiver.statuses = [500] * 9
    async with app(tmp_path, receiver.url, pauses_s=(0.02, 0.02)) as (client, service):
        await client.post("/v1/chat/completions", json=ASKED)
        await empty(service)
        listed = (await client.get("/v1/debates", params={"needs_review": True})).json()["data"]
    assert (len(receiver.got), len(listed)) == (3, 1)
    assert "which is given up: it answered 500" in caplog.text


async def test_a_receiver_that_does_not_answer_in_time_has_failed(receiver, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(webhook, "TIMEOUT_S", 0.1)
    receiver.slow_s = 0.4
    async with app(tmp_path, receiver.url, pauses_s=(0.02,)) as (client, service):
        await client.post("/v1/chat/completions", json=ASKED)
        await empty(service)
    assert "it took longer than 0.1 seconds" in caplog.text


async def test_the_next_server_takes_up_what_the_last_one_left(receiver, tmp_path):
    receiver.statuses = [503]
    async with app(tmp_path, receiver.url, pauses_s=(0.5,)) as (client, _):
        await client.post("/v1/chat/completions", json=ASKED)
        await receiver.got_so_many(1)
    assert len(receiver.got) == 1
    async with app(tmp_path, receiver.url) as (_, service):
        await receiver.got_so_many(2)
        await empty(service)
    first, second = receiver.got
    assert first[1]["webhook-id"] == second[1]["webhook-id"]
    assert first[2] == second[2]


async def test_a_message_stays_small_and_goes_with_its_debate(receiver, tmp_path):
    receiver.statuses = [500]
    async with app(tmp_path, receiver.url, pauses_s=(60,)) as (client, service):
        long = {**ASKED, "messages": [{"role": "user", "content": "What is 7 * 8?" + " word" * 3000}]}
        debate = (await client.post("/v1/chat/completions", json=long)).json()["chorus"]["debate"]
        await receiver.got_so_many(1)
        assert len(receiver.got[0][2]) < 10_000
        assert await service.store.outbox.seconds() > 0
        await client.delete(f"/v1/debates/{debate}")
        assert await service.store.outbox.seconds() is None


async def test_two_servers_on_one_database_do_not_take_the_same(receiver, tmp_path):
    receiver.statuses = [500]
    async with app(tmp_path, receiver.url, pauses_s=(0.2, 60)) as (client, _):
        await client.post("/v1/chat/completions", json=ASKED)
        await receiver.got_so_many(1)
    stores = [await Store.open(f"sqlite:///{tmp_path}/debates.db") for _ in range(4)]
    await asyncio.sleep(0.3)
    taken = await asyncio.gather(*(store.outbox.take(5, lambda _: 60.0) for store in stores))
    assert sorted(len(some) for some in taken) == [0, 0, 0, 1]
    for store in stores:
        await store.aclose()


@pytest.mark.postgres
async def test_on_postgresql_a_message_is_sent_once_and_none_of_what_another_server_has_erased(
    receiver, tmp_path, monkeypatch, postgres
):
    database = postgres.database()
    pytest.importorskip("psycopg")
    async with (
        app(tmp_path, receiver.url, database=database) as (quick, first),
        app(tmp_path, receiver.url, database=database, script=SLOW) as (slow, second),
    ):
        told = []

        def message(live, reasons):
            told.append(live.id)
            return webhook.message(live, reasons)

        monkeypatch.setattr("chorus.server.ledger.message", message)
        erased = (await slow.post("/v1/debates", json=QUESTION)).json()["id"]
        async with asyncio.timeout(15):
            while (await quick.get(f"/v1/debates/{erased}")).status_code != 409:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.02)
        assert (await quick.delete(f"/v1/debates/{erased}")).json()["deleted"] is True
        debate = (await quick.post("/v1/chat/completions", json=ASKED)).json()["chorus"]["debate"]
        await receiver.got_so_many(1)
        for service in (first, second):
            await empty(service)
    assert [json.loads(body)["data"]["debate"] for _, _, body in receiver.got] == [debate]
    assert told == [debate], "nothing was written of what was erased"


def test_a_server_that_is_killed_loses_no_message(receiver, tmp_path, monkeypatch):
    """The clock is put on instead of waiting for the second attempt."""
    monkeypatch.setenv("CHORUS_WEBHOOK_SECRET", SECRET)
    receiver.statuses = [500]
    told = ("--webhook", receiver.url, "--webhook-allow-private")
    with serving(tmp_path, *told, script=SPLIT) as server, server.client() as http:
        http.post("/v1/chat/completions", json=ASKED)
        receiver.wait_for(1)
        server.process.kill()
        server.process.wait()
    (database,) = tmp_path.glob("*.db")
    with sqlite3.connect(database) as connection:
        moved = connection.execute("UPDATE outbox SET due = '2026-01-01 00:00:00.000000'")
        assert moved.rowcount == 1
    connection.close()
    with serving(tmp_path, *told, script=SPLIT):
        receiver.wait_for(2)
    for _, headers, body in receiver.got:
        verify(headers, body)


class TestPrivate:
    @pytest.mark.parametrize(
        "address",
        [
            *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
            *("224.0.0.1", "255.255.255.255", "198.18.0.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1"),
            *("fec0::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a01:203", "2002:7f00:1::"),
            *("64:ff9b:1::a00:1", "::10.0.0.1", "::127.0.0.1", "192.0.0.8"),
            *("2001:db8::1", "4000::1", "8000::1", "::ffff:0:10.0.0.1"),
        ],
    )
    def test_addresses_that_are_not_public(self, address):
        assert not is_public(address)

    @pytest.mark.parametrize(
        "address", ["1.1.1.1", "93.184.215.14", "2606:4700::1111", "2a00:1450::1", "::ffff:1.1.1.1"]
    )
    def test_addresses_that_are(self, address):
        assert is_public(address)

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1", "2130706433", "::1"])
    async def test_no_way_of_writing_it_leads_there(self, receiver, host):
        port = int(receiver.url.split(":")[2].split("/")[0])
        with pytest.raises(NotPublic):
            await Outside().connect_tcp(host, port)

    async def test_a_name_that_changes_its_mind_is_asked_once_and_the_address_that_was_checked_is_connected_to(
        self, monkeypatch
    ):
        """DNS rebinding: a name that leads outside when it is checked, and inside when it is connected to."""
        asked, connected = [], []

        async def look_up(host, port, **_):
            asked.append(host)
            address = "93.184.215.14" if len(asked) == 1 else "127.0.0.1"
            return [(2, 1, 6, "", ("10.0.0.1", port)), (2, 1, 6, "", (address, port))]

        async def connect(_, host, port, *rest):
            connected.append(host)
            raise httpcore.ConnectError("nobody there")

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
        monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", connect)
        with pytest.raises(httpcore.ConnectError, match="nobody there"):
            await Outside().connect_tcp("rebinds.example", 443)
        assert (asked, connected) == (["rebinds.example"], ["93.184.215.14"])
        with pytest.raises(NotPublic):
            await Outside().connect_tcp("rebinds.example", 443)

    async def test_a_name_that_leads_inside_is_refused_when_a_message_is_sent(self, receiver, tmp_path, caplog):
        """Past the check of the URL, which can't know where a name leads."""
        store = await Store.open(f"sqlite:///{tmp_path}/debates.db")
        port = receiver.url.split(":")[2]
        hook = Webhook(f"https://localhost:{port}", SECRET, store.outbox, pauses_s=(0.02,))
        chorus = Chorus(ScriptedEngine(Script.model_validate(SPLIT)), "skeptic,estimator,formalist", rounds=1)
        made = create_app(chorus, store=store, webhook=hook)
        async with (
            made.router.lifespan_context(made),
            httpx.AsyncClient(transport=httpx.ASGITransport(made), base_url="http://localhost") as client,
        ):
            await client.post("/v1/chat/completions", json=ASKED)
            await empty(made.state.service)
        await store.aclose()
        assert "localhost is not on the public internet" in caplog.text
        assert receiver.got == []


class TestSettings:
    @pytest.mark.parametrize(
        ("url", "secret", "wrong"),
        [
            ("https://192.168.1.1/hook", SECRET, "not on the public internet"),
            ("https://[::1]/hook", SECRET, "not on the public internet"),
            ("http://example.com/hook", SECRET, "wants https"),
            ("https://anna:pw@example.com/hook", SECRET, "holds no password"),
            ("ftp://example.com", SECRET, "is no URL"),
            ("htps://anna:pw@example.com/hook", SECRET, "holds no password"),
            ("https://example.com:99999/", SECRET, "can't be used"),
            ("https://anna:pw/@example.com/", SECRET, "can't be used"),
            ("https://example.com/a hook", SECRET, "can't be used"),
            ("https://exämple.com/", SECRET, "can't be used"),
            ("https://[::1/hook", SECRET, "can't be used"),
            ("https://example.com/hook", "", "set CHORUS_WEBHOOK_SECRET"),
            ("https://example.com/hook", "whsec_c2hvcnQ=", "is no secret"),
            ("https://example.com/hook", "not base64 at all!", "is no secret"),
        ],
    )
    async def test_what_can_not_work_is_said_at_once(self, url, secret, wrong):
        with pytest.raises(ConfigError, match=wrong) as refused:
            Webhook(url, secret, None)
        assert "c2hvcnQ" not in str(refused.value)
        assert "pw" not in str(refused.value)

    def test_the_command_says_so_too(self, tmp_path, monkeypatch):
        monkeypatch.setenv("CHORUS_WEBHOOK_SECRET", SECRET)
        ran = run("serve", "--port", "0", "--webhook", "https://127.0.0.1/", cwd=tmp_path)
        assert (ran.code, "--webhook-allow-private" in ran.err) == (2, True)


async def test_a_debate_that_a_dead_server_left_is_told_of_by_the_next(receiver, tmp_path):
    dying = await Store.open(f"sqlite:///{tmp_path}/debates.db")
    await dying.begin("d1", owner="anna", model="chorus", question="What is 7 * 8?")
    await dying.aclose()
    async with app(tmp_path, receiver.url) as (_, service):
        await receiver.got_so_many(1)
        await empty(service)
    _, headers, body = receiver.got[0]
    verify(headers, body)
    assert json.loads(body)["data"] == {
        "debate": "d1",
        "owner": "anna",
        "model": "chorus",
        "question": "What is 7 * 8?",
        "answer": None,
        "status": "cut",
        "confidence": None,
        "reasons": ["the server stopped"],
    }


async def test_several_secrets_sign_while_one_takes_the_others_place(receiver, tmp_path):
    new = "whsec_" + base64.b64encode(KEY[::-1]).decode()
    async with app(tmp_path, receiver.url, secret=f"{new} {SECRET}") as (client, service):
        await client.post("/v1/chat/completions", json=ASKED)
        await receiver.got_so_many(1)
        await empty(service)
    _, headers, body = receiver.got[0]
    assert len(headers["webhook-signature"].split()) == 2
    verify(headers, body)
    verify(headers, body, KEY[::-1])


@pytest.mark.clients
async def test_the_schemes_own_library_takes_the_signature(receiver, tmp_path):
    library = pytest.importorskip("standardwebhooks")
    async with app(tmp_path, receiver.url) as (client, _):
        await client.post("/v1/chat/completions", json=ASKED)
        await receiver.got_so_many(1)
    _, headers, body = receiver.got[0]
    assert library.Webhook(SECRET).verify(body, headers)["type"] == "answer.needs_review"
    with pytest.raises(library.WebhookVerificationError):
        library.Webhook(SECRET).verify(body + b" ", headers)
