"""The OpenAPI document and the server agree: whatever can be sent is answered as the document says, and never by a 5xx.

Schemathesis draws the requests, good and bad ones, from the document alone. `.ci/clients` makes its environment.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from serving import serving

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]

PROGRAM = Path(os.environ.get("CHORUS_CLIENTS", "none"), "schemathesis", "bin", "st")
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,unsupported_method"
)


def test_every_request_is_answered_as_the_document_says(tmp_path):
    as_json = {"turn": "*.spokesperson", "text": "{}"}  # who is asked for when an answer must have a format
    quick = {
        "real_time": True,
        "turns": [as_json],
        "default": {"text": "Answer: 56", "confidence": 0.8},
    }
    with serving(tmp_path, script=quick) as server:
        drawing = ("--max-examples", "10", "--max-time", "100", "--seed", "1", "--request-timeout", "30")
        asked = [PROGRAM, "run", f"{server.url}/openapi.json", "--checks", CHECKS, *drawing, "--no-color"]
        plain = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        ran = subprocess.run(asked, capture_output=True, text=True, cwd=tmp_path, env=plain, timeout=240, check=False)
        assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
        assert server.running() == 0
