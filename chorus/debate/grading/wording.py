"""What sort of answer a question wants, judged by its wording alone.

The rules are tried in order and the first that fits decides. They look at what is asked, not at the story around it:
the last sentence that ends in a question mark, or the whole text where none does. What fits no rule wants a free text,
which is the safe side: text is read, not compared.
"""

from __future__ import annotations

import re

from chorus.debate.grading.choices import inline_choices
from chorus.types import AnswerKind, Question

_SENTENCE = re.compile(r"[^.!?\n]+(?:[.!?](?!\s|$)[^.!?\n]*)*[.!?]*")
_POLITE = re.compile(
    r"^(?:please,?|(?:can|could|would|will) you(?: please)?|i (?:want|need|would like|['’]d like) you to|now|so|then|and|hi|hello"
    r"|hey|ok|okay|tell me|question|q|problem)[,:]? ",
    re.IGNORECASE,
)

_NUMBER_WORDS = (
    r"sum|product|difference|quotient|remainder|total|average|mean|median|mode|area|perimeter|circumference|volume|"
    r"probability|square root|cube root|value|number|count|percent(?:age)?|price|cost|speed|distance|length|width|height|"
    r"weight|age|greatest common (?:divisor|factor)|least common multiple|gcd|lcm|factorial|population|atomic number|digit"
)
_OBJECTS = r"function|program|script|code|class|method|regex|regular expression|sql|query|snippet|algorithm|implementation"

_RULES: tuple[tuple[AnswerKind, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern, re.IGNORECASE))  # type: ignore[misc]
    for kind, pattern in (
        ("yesno", r"\b(?:yes or no|yes/no|true or false|true/false)\b"),
        ("code", rf"^(?:write|implement|code|define|create|give me|complete|fix|refactor)\b.{{0,60}}\b(?:{_OBJECTS})s?\b"),
        ("text", r"^(?:why|explain|describe|discuss|compare|contrast|argue|critique|summari[sz]e|analy[sz]e|outline|draft"
                 r"|translate|rewrite|suggest|recommend|advise|prove|show that|write|compose|imagine|tell)\b"),
        ("text", r"\b(?:should|ought|best way|do you think|your opinion|would you (?:recommend|advise|rather|prefer)"
                 r"|pros and cons|advantages|disadvantages|why)\b"),
        ("list", r"^(?:list|enumerate|sort|order|arrange|rank)\b"
                 r"|^(?:name|give(?: me)?) (?:two|three|four|five|six|seven|eight|nine|ten|[0-9]+|all|some|the (?:two|three"
                 r"|four|five|six|seven|eight|nine|ten|[0-9]+|first))\b"
                 r"|^(?:what|which) (?:are|were) (?:the|all)\b(?! (?:odds|chances))"
                 r"|\bin (?:ascending|descending|alphabetical|increasing|decreasing|chronological) order\b"),
        ("expression", r"^(?:solve|simplify|factor|factori[sz]e|expand|differentiate|integrate)\b"
                       r"|\b(?:derivative|antiderivative|integral|equation|roots?|solutions?|inverse) of\b(?<!square root of)"
                       r"(?<!cube root of)|\bin terms of\b|\b(?:solve|find) (?:for )?[a-z]\b(?=[ :,.?]|$)"),
        ("number", r"\bhow (?:many|much|old|tall|far|fast|heavy|big|large|deep|wide|high|long|often|hot|cold)\b"),
        ("number", r"[0-9)] ?(?:[-+*/×÷^]|\*\*|x|times|plus|minus|divided by|multiplied by|mod) ?[(-]?[0-9(]"
                   r"(?=.*(?:\?|=|$))"),
        ("number", r"^(?:calculate|compute|evaluate|count|round|convert|add|subtract|multiply|divide)\b"),
        ("yesno", r"^(?:is|are|was|were|am|do|does|did|can|could|has|have|had|will|would|may|might|must|isn['’]t|aren['’]t"
                  r"|doesn['’]t|don['’]t|didn['’]t|can['’]t|wasn['’]t|won['’]t)\b(?!.*\bor\b)(?=.*\?)"),
        ("short", r"^(?:is|are|was|were|do|does|did|can|could|has|have|had|will|would)\b.*\bor\b.*\?"),
        ("number", r"\b(?:what|which) year\b|\bwhat (?:number|percent(?:age)?|fraction)\b"),
        ("number", rf"^(?:what|find|determine|give)\b(?: is| was| are|['’]s)?(?: the| a)?(?: \w+){{0,2}}? (?:{_NUMBER_WORDS})\b"
                   r"(?=.*\b(?:of|if|when|that|in|for|[0-9]))(?!.* between (?!.*[0-9]))"),
        ("text", r"^how\b|^what (?:is|are|was|were) (?:the |a |an )?(?:meaning|purpose|role|impact|effects?|importance|point"
                 r"|theme|moral|reasons?|difference|differences|benefits?|significance|causes?|relationship|plot|main)\b"),
        ("text", r"^what (?:happens|would happen|if|causes|makes|do you|can|could|about)\b"),
        ("text", r"^what (?:is|are) (?!the\b|its\b|your\b|another\b|my\b)(?:an? )?[\w'’-]+(?: [\w'’-]+)?\?$"),
        ("short", r"^(?:who|whom|whose|when|where|which|what|name|identify|find|guess)\b"
                  r"|\b(?:who|whom|whose|when|where|which|what)\b[^.]*\?$"),
        ("short", r"_{2,}|\.{3}$|\bfill in\b"),
    )
)


def wanted_kind(question: Question) -> AnswerKind:
    """Judge what sort of answer a question wants: its own `kind`, then its choices, then its wording."""
    if question.kind is not None:
        return question.kind
    text = question.text.strip()
    if question.choices or inline_choices(text):
        return "choice"
    asked = _asked(text)
    for kind, rule in _RULES:
        if rule.search(asked):
            return kind
    return "text"
