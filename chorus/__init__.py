"""A chorus of personas debates your question on a graph, decides, and keeps the dissent.

from chorus import Chorus
print(Chorus().ask("What is 7 * 8?"))
"""

from chorus.chorus import Chorus
from chorus.config import Settings
from chorus.errors import (
    CheckpointError,
    ChorusError,
    ConfigError,
    ContextTooLong,
    DebateFailed,
    EngineError,
    MissingExtra,
    QuestionError,
    RecordError,
    TopologyError,
)
from chorus.types import Answer, Question

__all__ = [
    "Answer",
    "CheckpointError",
    "Chorus",
    "ChorusError",
    "ConfigError",
    "ContextTooLong",
    "DebateFailed",
    "EngineError",
    "MissingExtra",
    "Question",
    "QuestionError",
    "RecordError",
    "Settings",
    "TopologyError",
]
