"""One side of a relay over a channel that takes what the test lets it take."""

from __future__ import annotations

from consolekit.proxy.side import Side


class Loop:
    """Notes what is watched."""

    def __init__(self) -> None:
        self.watched: set[str] = set()
        self.soon: list = []

    def add_reader(self, fd, callback) -> None:
        self.watched.add("read")

    def remove_reader(self, fd) -> None:
        self.watched.discard("read")

    def add_writer(self, fd, callback) -> None:
        self.watched.add("write")

    def remove_writer(self, fd) -> None:
        self.watched.discard("write")

    def call_soon(self, callback) -> None:
        self.soon.append(callback)


class Channel:
    """Takes ``room`` bytes, then blocks; None is a broken connection."""

    def __init__(self, room: int | None = 0) -> None:
        self.room, self.taken, self.unsent = room, b"", False
        self.lies_here = self.closed = False

    def fileno(self) -> int:
        return 7

    def send(self, view) -> int:
        if self.room is None:
            raise BrokenPipeError
        count = min(self.room, len(view))
        if not count:
            raise BlockingIOError
        self.room -= count
        self.taken += bytes(view[:count])
        return count

    def flush(self) -> bool:
        if self.room is None:
            raise BrokenPipeError
        self.unsent = not self.room
        return not self.unsent

    def pending(self) -> bool:
        return self.lies_here

    def close(self) -> None:
        self.closed = True


def side_of(channel: Channel) -> tuple[Side, Loop]:
    loop = Loop()
    return Side(loop, channel, lambda: None, lambda: None), loop  # type: ignore[arg-type]


def test_all_goes():
    side, _ = side_of(Channel(10))
    assert side.push(memoryview(b"12345"))
    assert not side.stuck
    assert not side.moved


def test_what_does_not_go_waits_as_a_copy():
    channel = Channel(2)
    side, _ = side_of(channel)
    buffer = bytearray(b"12345")
    assert not side.push(memoryview(buffer))
    buffer[:] = b"xxxxx"
    assert side.stuck
    assert side.moved
    assert not side.flush()
    channel.room = 2
    assert not side.flush()
    channel.room = 5
    assert side.flush()
    assert channel.taken == b"12345"
    assert not side.stuck


def test_nothing_goes():
    side, _ = side_of(Channel(0))
    assert not side.push(memoryview(b"12345"))
    assert bytes(side.waiting or b"") == b"12345"


def test_ciphertext_in_the_channel_is_waiting_too():
    channel = Channel(9)
    side, _ = side_of(channel)
    channel.unsent = True
    assert not side.push(memoryview(b"1"))
    assert side.stuck
    assert side.waiting is None
    channel.room = 0
    assert not side.flush()
    channel.room = 9
    assert side.flush()


def test_a_broken_channel_is_deaf_and_nothing_waits_for_it():
    side, _ = side_of(Channel(None))
    assert not side.push(memoryview(b"12345"))
    assert side.deaf
    assert not side.stuck
    assert not side.push(memoryview(b"more"))


def test_it_breaks_while_bytes_wait():
    channel = Channel(2)
    side, _ = side_of(channel)
    side.push(memoryview(b"12345"))
    channel.room = None
    assert side.flush()
    assert side.deaf
    assert side.waiting is None


def test_watches_are_said_once():
    side, loop = side_of(Channel())
    side.watch(read=True, write=False)
    assert loop.watched == {"read"}
    loop.watched.clear()
    side.watch(read=True, write=True)
    assert loop.watched == {"write"}
    side.watch(read=False, write=False)
    assert loop.watched == set()
    assert not side.reading
    assert not side.writing


def test_what_lies_in_the_channel_is_asked_for_when_reading_begins():
    """Its descriptor is silent: the bytes have left the socket already."""
    channel = Channel()
    channel.lies_here = True
    side, loop = side_of(channel)
    side.watch(read=True, write=False)
    assert len(loop.soon) == 1


def test_close_gives_everything_up():
    channel = Channel(0)
    side, loop = side_of(channel)
    side.push(memoryview(b"x"))
    side.watch(read=True, write=True)
    side.close()
    side.close()
    side.watch(read=True, write=True)
    assert channel.closed
    assert loop.watched == set()
    assert side.waiting is None
