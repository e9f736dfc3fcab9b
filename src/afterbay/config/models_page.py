"""`docs/models.md`: the catalogue as a page. Run as a program it prints the page; a test holds the two together."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from afterbay.config.catalog import Catalog, Former, Model, catalog, embeds

_HEAD = """# Models

What afterbay knows of models without asking anybody, written by `python -m afterbay.config.models_page` from
`config/catalog.toml`, `models.toml` and `names.toml`. Their rows say where each of them is from; nothing is from
memory, and a cell is empty where no source says anything. `afterbay models` shows what is configured here, with the
prices of today; `afterbay route --file FILE --all` what a document costs on every model. How the rows are used is in
[router.md](router.md#the-catalogue).
"""


def page(of: Catalog | None = None) -> str:
    """The whole page."""
    known = of if of is not None else catalog()
    return "\n".join((_HEAD, *_fleet(known), *_local(known), *_others(known), *_scores(known), *_former(known)))


def _fleet(known: Catalog) -> Iterator[str]:
    yield "## What a key alone brings\n"
    yield "Prices are USD per million tokens, input and output, at the usual tier and for short prompts.\n"
    for row in known.provider:
        models = [known.model_at(row.name, name) for name in row.models if not embeds(name)]
        chat = [one for one in models if one is not None]
        if chat:
            yield f"### {row.name} (`{'` or `'.join(row.key_variables)}`)\n"
            yield from _table(chat)


def _local(known: Catalog) -> Iterator[str]:
    yield "### local (no key)\n"
    rows = [
        (f"`{one.name}`", _number(one.context), ", ".join(one.tags), one.source)
        for one in known.local
        if not one.embeds
    ]
    yield from _lines(("model", "window", "tags", "weights"), rows)


def _others(known: Catalog) -> Iterator[str]:
    fleet = {(row.name, name) for row in known.provider for name in row.models}
    others = [one for one in known.model if (one.provider, one.name) not in fleet and not embeds(one.name)]
    yield "## Known, and asked for by configuration or as `provider/model`\n"
    yield from _table(others, with_provider=True)


def _table(models: Iterable[Model], *, with_provider: bool = False) -> Iterator[str]:
    rows = [
        (
            f"`{one.provider}/{one.name}`" if with_provider else f"`{one.name}`",
            _number(one.context),
            _number(one.max_output),
            f"{one.usd[0]:g} / {one.usd[1]:g}" if one.usd is not None else "",
            ", ".join(_can(one)),
            ", ".join(one.tags),
            _end(one),
        )
        for one in models
    ]
    yield from _lines(("model", "window", "longest answer", "price", "can", "tags", "ends"), rows)


def _can(one: Model) -> list[str]:
    names = ("tools", "vision", "audio", "documents", "json_schema", "json_object", "reasoning")
    return [name for name in names if getattr(one, name)]


def _end(one: Model) -> str:
    if one.ends is None:
        return f"another name of `{one.pinned}`" if one.pinned and one.pinned.partition("-20")[0] != one.name else ""
    return f"{one.ends}, then `{one.successor}`" if one.successor else one.ends


def _scores(known: Catalog) -> Iterator[str]:
    yield "## Scores\n"
    yield (
        "Shares of 1, with the day of the source, or of its reading where it has none. A route demands them with "
        "`min_score`; a model of the\nconfiguration states its own with `scores`. Figures of different sources were "
        "measured differently: compare within one.\n"
    )
    rows = [
        (f"`{one.provider}/{one.name}`", score.bench, f"{score.value:.3f}", score.date, score.source)
        for one in known.model
        for score in one.scores
    ]
    yield from _lines(("model", "benchmark", "score", "day", "source"), rows)


def _former(known: Catalog) -> Iterator[str]:
    yield "## Older names\n"
    yield (
        "Without a configuration the model in the second column answers, with a warning, where its provider's key is "
        "there. With one, asking for\nan older name that is not configured is an error that says what replaced it.\n"
    )
    rows = [(", ".join(f"`{name}`" for name in one.names), _now(one), _when(one), one.source) for one in known.former]
    yield from _lines(("names", "now", "ended", "source"), rows)


def _now(one: Former) -> str:
    return f"`{one.provider}/{one.instead}`"


def _when(one: Former) -> str:
    return one.ended or ("yes" if one.gone else "a dated name" if one.version else "")


def _number(count: int | None) -> str:
    return f"{count:,}" if count is not None else ""


def _lines(headings: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(headings)} |"
    yield f"|{'---|' * len(headings)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


if __name__ == "__main__":
    sys.stdout.write(page().rstrip("\n") + "\n")
