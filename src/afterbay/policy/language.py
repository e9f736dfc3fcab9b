"""The language that a prompt is written in: by its script, and for Latin letters by the small words of each language.

Why no library: the scripts settle most languages by themselves, function words the others; a model for a hundred
languages would be a compiled dependency and a megabyte, and a route asks for few of them.
"""

from __future__ import annotations

import re
from typing import Final

HEAD, TAIL = 300, 120
"""Characters that are looked at: the beginning and the end, where the instruction stands."""

_SCRIPTS: Final = re.compile(
    "(?P<ja>[\u3040-\u30ff]+)|(?P<ko>[\uac00-\ud7af]+)|(?P<zh>[\u3400-\u9fff]+)|(?P<uk>[іїєґ])|(?P<ru>[\u0400-\u04ff]+)"
    "|(?P<fa>[پچژگ])|(?P<ar>[\u0600-\u06ff]+)|(?P<he>[\u0590-\u05ff]+)|(?P<el>[\u0370-\u03ff]+)|(?P<th>[\u0e00-\u0e7f]+)"
    "|(?P<hi>[\u0900-\u097f]+)|(?P<latin>[a-z\u00c0-\u024f\u1e00-\u1eff']+)"
)
_SURE: Final = 4
"""From so many letters on one small word is enough."""
_WORDS: Final = re.compile("[a-z']+")
_SMALL: Final = {
    "en": "the of and to in is that for it with as on are this be what how you your my i do can please from at by not"
    " a an me which who when where why was were has have does did should would could into about all any its their them"
    " between some these than then each every using write give make explain list find show get",
    "de": "der die das und ist nicht ein eine ich zu mit für von auf dem den wie was sie es im bitte wir sind auch"
    " eine einen einer einem dieser diese dieses kann kannst mir mich du dein meine über oder aus bei warum wo wer",
    "fr": "le la les des et est une un que pour dans je vous ce pas sur avec du en qui quel quelle comment au mon"
    " ce cette ces moi ma mes aux par ou où sont elle il nous être fait pourquoi qu'est quels quelles ta ton sa son",
    "es": "el la los las y es una un que para en de por con no qué cómo del se mi su al lo más está son"
    " esta este estos esta me qué cuál cuáles dónde cuándo quién hay puedo puede como sobre pero sin entre tu",
    "pt": "o a os as e é uma um que para em de por com não do da como no na se meu os mais você ao são"
    " está esta este isso me qual quais onde quando quem pode posso como sobre mas sem entre uns minha meu dos das"
    " pelo",
    "it": "il lo la gli le e è una un che per in di con non come del della mi si sono al nel più questo"
    " questa una uno dei delle degli della dal alla mia mio quale quali dove quando chi puoi posso ma perché cosa i",
    "nl": "de het een en is van dat in op te niet voor met zijn ik aan wat hoe er je mijn ook naar",
    "pl": "i w nie na się jest to że z do jak co dla od po przez czy mój są",
    "tr": "ve bir bu için ile ne nasıl da de mi çok olarak daha en gibi var",
    "sv": "och att det är en ett som på för inte med av jag hur vad till den kan",
    "vi": "là của và một các có cho không được trong tôi hãy với để này như người",
    "id": "yang dan di untuk dengan ini itu dari adalah tidak saya apa bagaimana ke pada",
}
_VOTES: Final[dict[str, tuple[str, ...]]] = {
    word: tuple(name for name, words in _SMALL.items() if word in words.split())
    for word in {word for words in _SMALL.values() for word in words.split()}
}


def language_of(text: str) -> str:
    """The language as its two-letter code; `und` where nothing tells it.

    A Han character counts as much as a word of letters: a Chinese instruction above an English passage is Chinese as
    long as it is not a small part of what is looked at.
    """
    ends = (text if len(text) <= HEAD + TAIL else f"{text[:HEAD]} {text[-TAIL:]}").lower()
    counts: dict[str, float] = {}
    words: list[str] = []
    if ends.isascii():
        return _latin(_WORDS.findall(ends))
    for match in _SCRIPTS.finditer(ends):
        script = match.lastgroup or ""
        weight = len(match.group()) if script in {"ja", "ko", "zh"} else 1
        counts[script] = counts.get(script, 0.0) + weight
        if script == "latin":
            words.append(match.group())
    for rare, of in (("ja", "zh"), ("uk", "ru"), ("fa", "ar")):  # a few letters that only one of two languages has
        if counts.get(rare, 0.0) > (0.1 * counts.get(of, 0.0) if rare == "ja" else 1.0):
            counts[rare] += counts.pop(of, 0.0)
        else:
            counts[of] = counts.get(of, 0.0) + counts.pop(rare, 0.0)
    found, most = max(counts.items(), key=lambda one: one[1], default=("", 0.0))
    if most == 0.0:
        return "und"
    if found != "latin":
        return found
    return _latin(words)


def _is_sure(word: str) -> bool:
    """Whether one small word alone tells a language other than English: no other has it, and it is not short."""
    return len(_VOTES[word]) == 1 and len(word) >= _SURE


def _latin(words: list[str]) -> str:
    """The language that most of the small words are of; without any, English where no letter has an accent.

    Most prompts are English, and code, names and quotations have words that are small ones elsewhere: any other
    language needs two different words, or a long one that only it has, or a letter with an accent.
    """
    votes: dict[str, float] = {}
    kinds: dict[str, set[str]] = {}
    is_ascii = all(map(str.isascii, words))
    for word in words:
        for name in (voters := _VOTES.get(word, ())):
            votes[name] = votes.get(name, 0.0) + 1.0 / len(voters)
            kinds.setdefault(name, set()).add(word)
    for name in sorted(votes, key=lambda name: (-votes[name], name != "en", name)):
        if name == "en" or not is_ascii or len(kinds[name]) > 1 or _is_sure(*kinds[name]):
            return name
    return "en" if words and is_ascii else "und"
