"""The canaries, by what may become of them.

CONFIG    secrets of the gateway's own configuration and environment: never seen again, by nobody
CLIENT    credentials that clients showed: the same
MISPLACED what has the shape of a credential and stands where none belongs, in a request or a provider's answer: may
          come back to the client whose request it was, and is in nothing that is written
CONTENT   what people and models say, without any shape: the same, but for what clients asked to be kept
MISTAKEN  credentials in a configuration that is wrong: not in what is said about it
"""

from __future__ import annotations

from tests.canaries.search import CORE


def _made(kind: str, names: str, form: str) -> dict[str, str]:
    """One canary for each name. `form` says how they look, with `{}` in it."""
    return {name: form.format(f"{CORE}{kind}{number:02}z") for number, name in enumerate(names.split(), 1)}


CONFIG = (
    _made("cfg", "key key_env header basic proxy admin otlp redis azure unused_env aws_env", "Qw8rTz-{}")
    | _made("odd", "key_odd", "Qw8+r/{}=&x")
    | _made("bar", "gem_key local_key user_token in_query", "{}")
)
CLIENT = _made(
    "cli",
    "bearer basic_auth x_api_key x_goog query cookie api_key_header proxy_auth amz_token subprotocol raw_query"
    " raw_header wrong_admin",
    "Zt5-{}",
)
MISPLACED = _made(
    "mis",
    "model direct tag tag_name trace tool task residency agent path url idempotency request_id last_event"
    " key_name team_name user metadata timeout param_name cut_body wrong_type deep response_id prompt system"
    " tool_arguments tool_result image_url document upstream_error upstream_header upstream_cookie upstream_location"
    " upstream_html upstream_event upstream_text upstream_arguments upstream_code upstream_reason",
    "sk-proj-Ab3{}Xy",
) | _made("goo", "google_key", "AIzaSyA{}bbbbbbbbbbbbbbbbbb")
CONTENT = _made("txt", "said answered kept kept_answer keyed_answer reasoned", "my aunt's {} is green")
MISTAKEN = _made(
    "err",
    "in_duration in_url in_kind in_variable in_number as_key as_provider as_model_key in_list twice unclosed in_proxy"
    " in_database in_shared in_budget in_region",
    "sk-ant-Ab3{}Xy",
)

ALL = CONFIG | {}
"""All of them by name; names are not shared between kinds."""
for _kind in (CLIENT, MISPLACED, CONTENT, MISTAKEN):
    assert not ALL.keys() & _kind.keys(), "a name stands for one canary"
    ALL |= _kind

KINDS = {
    "CONFIG": ("cfg", "odd", "bar"),
    "CLIENT": ("cli",),
    "MISPLACED": ("mis", "goo"),
    "CONTENT": ("txt",),
    "MISTAKEN": ("err",),
}


def is_of(kind: str, found: str) -> bool:
    """Whether what a search found is of a kind; what it could not name may be of any."""
    return found.startswith(KINDS[kind]) or " " in found
