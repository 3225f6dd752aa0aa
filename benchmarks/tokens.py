"""What a token costs to make and to redeem: every store and validator, beside websockify's token plug-ins.

    python benchmarks/tokens.py                 under two minutes; rows whose server or package is missing are
    python benchmarks/tokens.py --out FILE      left out and named

One Python process does all of it, with so many calls under way at a time (AT_ONCE); the servers of stores run
beside it and are not counted in the CPU. What websockify's plug-ins do is less: they look a token up, which
stays good for the next one; ours redeem it for one session. README.md says the rest.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import kept
import machine

from consolekit.auth.base import AccessContext, TokenIssuer, TokenStore, TokenValidator
from consolekit.auth.memory import MemoryTokenStore
from consolekit.auth.stored import SingleUse, StoredTokens
from consolekit.core.plugins import STORES, load
from consolekit.core.types import SystemClock
from consolekit.testing import example_grant

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))  # the servers of stores

TOKENS = 2000
AT_ONCE = 32
ROUNDS = 3
CLOCK = SystemClock()
SERVER, PORT = "192.0.2.1", 5900

Record = dict[str, Any]


@attrs.frozen(kw_only=True)
class Contestant:
    """One way to keep tokens.

    Attributes:
        name: How the table calls it.
        make: Makes the issuer and what redeems its tokens, inside the running loop.
    """

    name: str
    make: Callable[[Path], tuple[TokenIssuer, TokenValidator, list[TokenStore]]]


def main() -> None:
    wanted = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    wanted.add_argument("--out", type=Path, help="append the results to this file")
    out = wanted.parse_args().out or kept.place("tokens")
    logging.disable(logging.CRITICAL)
    records: list[Record] = [_header()]
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as servers:
        contestants = list(_ours(servers))
        for number in range(ROUNDS):  # in turn, so that what else happens here meets everybody
            for place, contestant in enumerate(contestants):
                folder = Path(directory) / f"{number}-{place}"
                folder.mkdir()
                records.append({"round": number} | asyncio.run(_measure(contestant, folder)))
            records += [{"round": number} | record for record in _websockify(servers, Path(directory))]
    kept.append(out, records)
    print(render(records))
    print(f"\n{out}: {len(records)} records")


def _header() -> Record:
    return {
        "benchmark": "tokens",
        "started": kept.now().isoformat(timespec="seconds"),
        "machine": machine.describe(),
        "load": os.getloadavg()[0],
        "tokens": TOKENS,
        "at_once": AT_ONCE,
        "rounds": ROUNDS,
    }


def _ours(servers: contextlib.ExitStack) -> Iterator[Contestant]:
    yield Contestant(name="memory", make=lambda _: _stored(MemoryTokenStore(clock=CLOCK)))
    yield Contestant(name="sqlite", make=lambda folder: _stored(_store("sqlite", path=f"{folder}/tokens.db")))
    yield Contestant(
        name="sql, SQLite", make=lambda folder: _stored(_store("sql", url=f"sqlite:///{folder}/sql.db"))
    )
    for name, start in (("sql, PostgreSQL", _postgres), ("sql, MariaDB", _mariadb)):
        if server := _started(start, servers):
            yield Contestant(
                name=name,
                make=lambda _, server=server: _stored(_store("sql", url=server.url(server.database()))),
            )
    if redis := _started(_redis, servers):
        yield Contestant(name="redis", make=lambda _: _stored(_store("redis", url=f"unix://{redis.socket}")))
        yield Contestant(
            name="sealed, spent in redis",
            make=lambda folder: _sealed(folder, _store("redis", url=f"unix://{redis.socket}")),
        )
    yield Contestant(
        name="sealed, spent in memory", make=lambda folder: _sealed(folder, MemoryTokenStore(clock=CLOCK))
    )
    yield Contestant(name="sealed, not spent", make=lambda folder: _sealed(folder, None))


def _store(name: str, **options: str) -> TokenStore:
    made: TokenStore = load(STORES, name, TokenStore).from_config(options, clock=CLOCK)
    return made


def _stored(store: TokenStore) -> tuple[TokenIssuer, TokenValidator, list[TokenStore]]:
    tokens = StoredTokens(store, clock=CLOCK)
    return tokens, tokens, [store]


def _sealed(folder: Path, store: TokenStore | None) -> tuple[TokenIssuer, TokenValidator, list[TokenStore]]:
    from sealing import key_file, tokens

    path = folder / "keys.json"
    key_file(path, CLOCK)
    sealed = tokens(path, CLOCK)
    if store is None:
        return sealed, sealed, []
    return sealed, SingleUse(sealed, store, clock=CLOCK), [store]


def _started(start: Callable[[contextlib.ExitStack], Any], servers: contextlib.ExitStack) -> Any:
    """A server, or None where its package is missing; says so."""
    from _pytest.outcomes import Skipped

    try:
        return start(servers)
    except Skipped as exc:
        print(f"left out: {exc.msg}", file=sys.stderr)
        return None


def _postgres(servers: contextlib.ExitStack) -> Any:
    import postgres

    return servers.enter_context(postgres.running())


def _mariadb(servers: contextlib.ExitStack) -> Any:
    import mariadb

    return servers.enter_context(mariadb.running())


def _redis(servers: contextlib.ExitStack) -> Any:
    from redisserver import RedisServer

    return servers.enter_context(contextlib.closing(RedisServer()))


async def _measure(contestant: Contestant, folder: Path) -> Record:
    issuer, validator, stores = contestant.make(folder)
    grants = [example_grant(CLOCK, ttl=600) for _ in range(TOKENS)]
    context = AccessContext(resume_hash="a" * 64)
    try:
        await validator.validate(await issuer.issue(grants.pop()), context)  # connected, keys read
        issued, tokens = await _timed([issuer.issue(grant) for grant in grants])
        redeemed, found = await _timed([validator.validate(token, context) for token in tokens])
    finally:
        await validator.aclose()
        for store in stores:
            await store.aclose()
    assert sorted(grant.id for grant in found) == sorted(grant.id for grant in grants)
    return {"who": contestant.name, "issue": issued, "redeem": redeemed}


async def _timed(calls: list[Awaitable[Any]]) -> tuple[Record, list[Any]]:
    """Make the calls, so many at a time; how long it took, in all and of CPU."""
    results: list[Any] = [None] * len(calls)
    rest = iter(list(enumerate(calls)))

    async def work() -> None:
        for place, call in rest:
            results[place] = await call

    began, cpu = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(work())
    return _figures(len(calls), time.perf_counter() - began, time.process_time() - cpu), results


def _figures(count: int, seconds: float, cpu: float) -> Record:
    return {"per_second": round(count / seconds), "cpu_us": round(cpu / count * 1e6, 1)}


def _websockify(servers: contextlib.ExitStack, directory: Path) -> Iterator[Record]:
    """What its plug-ins do when a viewer comes: one call each, in the process that serves the viewer."""
    try:
        from websockify.token_plugins import JWTTokenApi, TokenRedis
    except ModuleNotFoundError:
        print("left out: websockify is not installed: pip install -e . --group bench", file=sys.stderr)
        return
    if redis := _started(_redis, servers):
        plugin = TokenRedis(f"127.0.0.1:{redis.port}")
        names = [f"token-{number}" for number in range(TOKENS)]
        for name in names:
            redis.say("SET", name, json.dumps({"host": f"{SERVER}:{PORT}"}))
        yield {"who": "websockify TokenRedis", "redeem": _looked_up(plugin, names)}
    key, jwt = _jwt(directory)
    yield {"who": "websockify JWTTokenApi", "redeem": _looked_up(JWTTokenApi(str(key)), [jwt] * TOKENS)}


def _jwt(directory: Path) -> tuple[Path, str]:
    """A key file and a signed token; its encrypted ones fail with today's jwcrypto."""
    from jwcrypto import jwk, jwt

    path, key = directory / "jwt.key", jwk.JWK.generate(kty="oct", size=256)
    path.write_text(key.export(as_dict=True)["k"])
    claims = {"host": SERVER, "port": str(PORT), "exp": int(CLOCK.now()) + 600}
    signed = jwt.JWT(header={"alg": "HS256"}, claims=claims)
    signed.make_signed_token(key)
    return path, str(signed.serialize())


def _looked_up(plugin: Any, names: list[str]) -> Record:
    began, cpu = time.perf_counter(), time.process_time()
    for name in names:
        assert [*plugin.lookup(name)] == [SERVER, str(PORT)]
    return _figures(len(names), time.perf_counter() - began, time.process_time() - cpu)


def render(records: list[Record]) -> str:
    """The medians as a Markdown table."""
    runs = [record for record in records if "who" in record]
    lines = [
        "| | issued a second | CPU-µs each | redeemed a second | CPU-µs each |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for who in dict.fromkeys(record["who"] for record in runs):
        mine = [record for record in runs if record["who"] == who]
        cells = [
            f"{statistics.median(each[step][figure] for each in mine):,.0f}" if step in mine[0] else "-"
            for step in ("issue", "redeem")
            for figure in ("per_second", "cpu_us")
        ]
        lines.append(f"| {who} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
