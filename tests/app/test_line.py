"""What the control process and a worker say to each other."""

from __future__ import annotations

import socket

import pytest

from afterbay.app.line import End, Figures, Line, LineBroken, LocalModel, LocalModelsAre, Message

from .on_our_loop import on_our_loop


async def pair() -> tuple[Line, Line]:
    one, other = socket.socketpair()
    return await Line.open(one), await Line.open(other)


@on_our_loop
async def test_messages_arrive_whole_in_order_whatever_their_length() -> None:
    one, other = await pair()
    said: list[Message] = [
        Figures(1, b"x" * 300_000),
        End(15),
        LocalModelsAre({"local": LocalModel("ready", "http://127.0.0.1:9", "secret")}),
        Figures(2, b""),
    ]
    for message in said:
        one.send(message)
    assert [await other.receive() for _ in said] == said
    await one.close()
    await other.close()


@on_our_loop
async def test_the_end_of_the_other_side_is_heard_and_what_is_sent_after_it_harms_nobody() -> None:
    one, other = await pair()
    await one.close()
    assert await other.receive() is None
    await other.close()
    other.send(End(15))
    one.send(End(15))


@on_our_loop
@pytest.mark.parametrize("sent", [b"\x00\x00\x00\x03abc", b"\xff\xff\xff\xff", b"\x00\x00\x00\x00"])
async def test_what_is_no_message_is_refused(sent: bytes) -> None:
    raw, other = socket.socketpair()
    line = await Line.open(other)
    raw.sendall(sent)
    with pytest.raises(LineBroken):
        await line.receive()
    raw.close()
    await line.close()


def test_the_token_of_a_local_model_is_not_shown() -> None:
    assert "secret" not in repr(LocalModelsAre({"local": LocalModel("ready", "http://127.0.0.1:9", "secret")}))
