"""The counters: what a scrape shows, that registries stay apart, and what an engine's SPEC gives away."""

from __future__ import annotations

import sys

import pytest
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.parser import text_string_to_metric_families

from chorus.errors import MissingExtra
from chorus.telemetry.counters import Counters
from chorus.telemetry.naming import engine_name


def test_every_series_of_an_engine_is_there_from_the_start():
    counters = Counters()
    counters.of("vllm:smollm2-135m")
    families = {family.name: family for family in text_string_to_metric_families(counters.render().decode())}
    assert {name: family.type for name, family in families.items() if not name.endswith("_created")} == {
        "chorus_engine_calls": "counter",
        "chorus_engine_prompt_tokens": "counter",
        "chorus_engine_cached_tokens": "counter",
        "chorus_engine_completion_tokens": "counter",
        "chorus_engine_aborts": "counter",
        "chorus_engine_retries": "counter",
        "chorus_engine_running_calls": "gauge",
        "chorus_engine_call_seconds": "histogram",
        "chorus_engine_first_token_seconds": "histogram",
    }
    totals = [sample for sample in families["chorus_engine_calls"].samples if sample.name.endswith("_total")]
    assert {sample.labels["outcome"]: sample.value for sample in totals} == {"done": 0, "failed": 0, "aborted": 0}
    assert {(sample.labels["engine"], sample.labels["model"]) for sample in totals} == {("vllm", "smollm2-135m")}


def test_what_is_rendered_is_prometheus_text_with_its_type():
    assert Counters().content_type.startswith("text/plain; version=")


def test_two_counters_in_one_process_dont_add_up():
    ours, theirs = Counters(), Counters()
    ours.of("hf:m").retries.inc()
    theirs.of("hf:m")
    assert b'chorus_engine_retries_total{engine="hf",model="m"} 1.0' in ours.render()
    assert b'chorus_engine_retries_total{engine="hf",model="m"} 0.0' in theirs.render()


def test_a_registry_may_be_shared_with_other_series():
    registry = CollectorRegistry()
    Gauge("server_open_debates", "Debates that run.", registry=registry).set(3)
    counters = Counters(registry)
    counters.of("hf:m")
    assert counters.registry is registry
    assert b"server_open_debates 3.0" in counters.render()
    assert b"chorus_engine_calls_total" in counters.render()


def test_without_its_package_the_install_line_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(MissingExtra, match=r"pip install 'greek-chorus\[telemetry\]'"):
        Counters()


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("hf:smollm2-135m", ("hf", "smollm2-135m", None, None)),
        ("hf:HuggingFaceTB/SmolLM2-135M", ("hf", "HuggingFaceTB/SmolLM2-135M", None, None)),
        ("vllm:/home/ann/secret-project/model", ("vllm", "model", None, None)),
        ("scripted:./script.yaml", ("scripted", "script.yaml", None, None)),
        ("openai:http://127.0.0.1:8000/v1#org/model", ("openai", "org/model", "127.0.0.1", 8000)),
        ("openai:https://ann:pass@api.example.com/v1#m", ("openai", "m", "api.example.com", None)),
        ("openai:http://a:8000/v1,http://b:8000/v1#m", ("openai", "m", None, None)),
        ("openai:http://host:http/v1#m", ("openai", "m", None, None)),
        ("openai:http://[::1/v1#m", ("openai", "m", None, None)),
        ("", ("", "", None, None)),
    ],
)
def test_of_a_spec_the_engine_and_the_model_are_told(spec, told):
    assert engine_name(spec) == told
