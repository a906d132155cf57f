"""What sort of answer a question wants, judged by its wording alone.

The rules are tried in order and the first that fits decides. They look at what is asked, not at the story around it:
the last sentence with a question mark, or the whole text where there is none. What fits no rule wants a free text,
which is the safe side: a text is read, not compared.
"""

from __future__ import annotations

import re

from chorus.debate.grading.choices import inline_choices
from chorus.types import AnswerKind, Question

_SENTENCE = re.compile(r"[^.!?\n]+(?:[.!?](?=[^\s.!?])[^.!?\n]+)*[.!?]*")
_POLITE = re.compile(
    r"(?:(?:please|now|so|then|and|hi|hello|hey|ok|okay|tell me|question|q|problem"
    r"|(?:can|could|would|will) you(?: please)?|i(?:['’]d| would)? (?:want|need|like) (?:you )?to)\b[,:!]? ?){1,3}",
    re.IGNORECASE,
)


def _rule(kind: AnswerKind, *patterns: str) -> tuple[AnswerKind, re.Pattern[str]]:
    return kind, re.compile("|".join(patterns), re.IGNORECASE)


_FEW = r"(?:two|three|four|five|six|seven|eight|nine|ten|[0-9]{1,3})"
_AUXILIARY = (
    r"(?:is|are|was|were|am|do|does|did|can|could|has|have|had|will|would|may|might|must)(?:n['’]t)?|can['’]t|won['’]t"
)
_GIVE = r"what(?: is| was| are|['’]s)?|find|determine|give"
_OPEN_NOUNS = (
    r"meanings?|purposes?|roles?|impacts?|effects?|importance|point|themes?|moral|reasons?|differences?|benefits?|causes?"
    r"|significance|relationships?|plot|implications?|consequences|challenges|(?:main|key) \w{1,20}|similarities"
)
_MATHS_NOUNS = (
    r"sum|product|quotient|remainder|total|average|mean|median|area|perimeter|circumference|volume|probability|factorial"
    r"|(?:square|cube) root|greatest common (?:divisor|factor)|least common multiple|gcd|lcm|hypotenuse|number|count"
    r"|percent(?:age)?|population|atomic number|speed|distance|price|length|width|height|weight|boiling point|age"
)
_PROGRAMS = r"(?:function|program|script|code|class|method|regex|regular expression|sql|snippet|algorithm)s?"

_RULES = (
    _rule("yesno", r"\b(?:yes or no|yes/no|true or false|true/false)\b"),
    _rule("code", rf"^(?:write|implement|code|define|create|complete|fix|refactor)\b.{{0,80}}\b{_PROGRAMS}\b"),
    _rule(
        "text",
        r"^(?:explain|describe|discuss|compare|contrast|argue|critique|summari[sz]e|analy[sz]e|outline|draft|translate"
        r"|rewrite|suggest|recommend|advise|prove|show that|write|compose|imagine)\b",
        r"\b(?:why|should|ought to|best way|pros and cons|(?:dis)?advantages)\b",
        r"\b(?:do you (?:think|feel)|your (?:opinion|view)|would you (?:recommend|advise|rather|prefer))\b",
        rf"^what (?:is|are|was|were) (?:the |a |an |some )?(?:{_OPEN_NOUNS})\b(?!.*[0-9])",
        r"^what (?:happens|would happen|if|causes|makes|about)\b",
        r"^how (?:do|does|did|can|could|would|to|is|are|was|were|has|have|come)\b",
    ),
    _rule(
        "expression",
        r"^(?:solve|simplify|factor|factori[sz]e|expand|differentiate|integrate)\b",
        r"\b(?:derivative|antiderivative|integral|equation|(?<!square )(?<!cube )roots?|solutions?|inverse) of\b",
        r"\bin terms of\b",
        r"\bsolve for [a-z]\b",
        r"^find (?:all )?[a-z]\b",
    ),
    _rule(
        "list",
        r"^(?:list|enumerate|sort|order|arrange|rank)\b",
        rf"^(?:name|give(?: me)?) (?:all|some|(?:the )?(?:first )?{_FEW})\b",
        rf"^(?:what|which) (?:are|were) (?:all |the )?(?:first |last )?{_FEW}\b",
        r"^(?:what|which) (?:are|were) (?:all |the )?\w{1,20}(?: \w{1,20})? (?:of|in|that|from)\b",
        r"\bin (?:ascending|descending|alphabetical|increasing|decreasing|chronological) order\b",
    ),
    _rule(
        "number",
        r"\bhow (?:many|much|old|tall|far|fast|heavy|big|large|deep|wide|high|long|often|hot|cold)\b",
        r"[0-9)]%? ?(?:[-+*/×÷^]|\*\*|x|mod|of|plus|minus|times|divided by|multiplied by) ?[(-]?[0-9(]",
        r"^what(?: is|['’]s) \w{1,12}(?:[- ]\w{1,9})? (?:plus|minus|times|squared|cubed|divided by|multiplied by)\b",
        r"^what is [a-z] (?:if|when|given)\b",
        r"^(?:calculate|compute|evaluate|count|round|convert|add|subtract|multiply|divide)\b",
        r"\b(?:what|which) (?:year|number|percent(?:age)?|fraction)\b",
        rf"(?:^|[,:] )(?:{_GIVE}) (?:the )?(?:\w{{1,20}} ){{0,2}}(?:{_MATHS_NOUNS})\b",
        r"^(?:what is|find|determine) the (?:value|difference|cost)\b.*[0-9]",
    ),
    _rule("short", rf"^(?:{_AUXILIARY}) .*\bor\b"),
    _rule("yesno", rf"^(?:{_AUXILIARY}) .*\?"),
    _rule("text", r"^what(?: is| are|['’]s) (?!the\b|its\b|your\b|my\b)(?:an? )?[\w'’-]{1,40}(?: [\w'’-]{1,40})?\?$"),
    _rule(
        "short",
        r"^(?:who|whom|whose|when|where|which|what|name|identify|find|guess)\b",
        r"\b(?:who|whom|whose|when|where|which|what)\b.*\?$",
        r"_{2,}|\.{3}$",
    ),
)


def wanted_kind(question: Question) -> AnswerKind:
    """Judge what sort of answer a question wants: by its own `kind`, then its choices, then its wording."""
    if question.kind is not None:
        return question.kind
    if question.choices or inline_choices(question.text):
        return "choice"
    asked = _asked(question.text)
    return next((kind for kind, rule in _RULES if rule.search(asked)), "text")


def _asked(text: str) -> str:
    """Return what is asked: the last sentence with a question mark, else the whole text, on one line."""
    asking = [sentence for sentence in _SENTENCE.findall(text) if sentence.rstrip().endswith("?")]
    line = " ".join((asking[-1] if asking else text).split())
    return line[opening.end() :] if (opening := _POLITE.match(line)) else line
