"""The language of a prompt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbay.policy.language import language_of


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("How do I sort a list?", "en"),
        ("sort list", "en"),
        ("请把这段话翻译成英文", "zh"),
        ("请将以下英文翻译成中文：The ferry leaves at nine.", "zh"),
        ("Translate into Chinese: 你好", "en"),
        ("これは何ですか。漢字も使います", "ja"),
        ("이 문장을 번역해 주세요", "ko"),
        ("Как приготовить борщ?", "ru"),
        ("Як приготувати їжу, щоб її з'їли?", "uk"),
        ("كيف أطبخ الأرز؟", "ar"),
        ("Wie kann ich das Passwort ändern, und was ist zu beachten?", "de"),
        ("Quelle est la capitale de la France et pourquoi ?", "fr"),
        ("¿Cómo puedo cambiar la contraseña de mi cuenta?", "es"),
        ("Como eu posso mudar a senha do meu computador?", "pt"),
        ("Come si fa la pasta alla carbonara e qual è il segreto?", "it"),
        ("123 + 456 = ?", "und"),
        ("", "und"),
    ],
)
def test_it_is_told_by_script_and_small_words(text: str, language: str) -> None:
    assert language_of(text) == language


_SHORT = {
    "en": [
        "Write a python function that sorts a list", "Refactor a class in C", "Make a table", "Tell a joke",
        "Plan a trip to Rio de Janeiro", "Fix a bug in main.py on example.com", "Who is La Rochefoucauld?",
        "What is 2 + 2?", "Name a capital", "a b c d a",
    ],
    "de": [
        "Schreibe eine Funktion, die eine Liste sortiert", "Was ist die Hauptstadt von Frankreich?",
        "Wie geht es dir?", "Warum ist der Himmel blau?",
    ],
    "fr": ["Résume ce texte", "Comment vas-tu ?", "Écris une fonction qui trie une liste", "Traduis cette phrase"],
    "es": ["¿Qué hora es?", "Resume este texto en tres frases", "Escribe una función que ordene una lista",
           "Haz una lista de los colores"],
    "pt": ["Qual é a capital da França?", "Como você está?", "Escreva uma função que ordena uma lista",
           "Faça uma lista das cores"],
    "it": ["Qual è la capitale della Francia?", "Spiegami perché il cielo è blu", "Fai un elenco dei colori",
           "Scrivi una funzione che ordina una lista"],
}  # fmt: skip


@pytest.mark.parametrize(("language", "text"), [(name, text) for name, texts in _SHORT.items() for text in texts])
def test_a_short_prompt_is_told_too(language: str, text: str) -> None:
    assert language_of(text) == language


@given(st.text(max_size=200))
def test_any_text_has_one(text: str) -> None:
    assert language_of(text)
    assert language_of(text) == language_of(text)
