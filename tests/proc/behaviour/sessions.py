"""Sessions: expiry, close, move, and what becomes of their ephemerals."""

import time

import zkwire
from behaviour import area, rule
from zkwire import DELETED, EPHEMERAL, NONODE, OK, SESSIONEXPIRED, SESSIONMOVED, Closed

TICK = 100
ALIVE = 3000
SETTINGS = {"tickTime": TICK, "maxSessionTimeout": 60000}


@rule("sessions: expire when nothing came for the timeout, never early", own_server=True)
def expiry(t):
    with t.server(SETTINGS) as s, s.client() as witness:
        root = area(witness)
        idle = s.client(timeout=1500)
        dropped = s.client(timeout=2000)
        t.eq((idle.session.timeout, dropped.session.timeout), (1500, 2000), "negotiated timeouts")
        for name, c in (("idle", idle), ("dropped", dropped)):
            c.must("create", root + "/" + name, b"", flags=EPHEMERAL)
            witness.must("exists", root + "/" + name, True)
        since = {}
        for name, c in (("idle", idle), ("dropped", dropped)):
            since[name] = time.monotonic()  # before the last sign of life can have left
            c.call("ping")
        dropped.drop()
        seen = {}
        while len(seen) < 2:
            event = witness.wait_event()
            t.eq(event[0], DELETED, "an event of type 2")
            seen[event[1].rsplit("/", 1)[1]] = time.monotonic()
        for name, least in (("idle", 1.5), ("dropped", 2.0)):
            lived = seen[name] - since[name]
            t.ok(lived >= least, "%s: not early: %.3f s of %g" % (name, lived, least))
        t.eq(idle.wait_closed(), [], "the idle connection is closed without a message")
        for c in (idle, dropped):
            with s.client(shake=False) as late:
                answer = late.handshake(session=c.session.id, password=c.session.password)
                t.eq((answer.timeout, answer.id), (0, 0), "the next handshake says expired")
                t.ok(late.silent_end(), "and is closed")
        t.eq(witness.must("children", root), [], "ephemerals are gone")


@rule("sessions: any request, a ping or a reattach keeps one alive", own_server=True)
def kept_alive(t):
    with t.server(SETTINGS) as s, s.client() as clock:
        root = area(clock)
        ways = {"ping": lambda c: c.call("ping"), "read": lambda c: c.call("exists", root),
                "write": lambda c: c.call("set", root, b"")}
        clients = {way: s.client(timeout=ALIVE) for way in ways}
        lazy = s.client(timeout=ALIVE)
        mover = s.client(timeout=ALIVE)
        for name, c in list(clients.items()) + [("mover", mover)]:
            c.must("create", root + "/" + name, b"", flags=EPHEMERAL)
        lazy.must("create", root + "/lazy", b"", flags=EPHEMERAL)
        clock.must("exists", root + "/lazy", True)
        # Every 0.3 s each of them gives a sign of life, until the lazy one has expired and half
        # as long again.
        gone_at, begun = None, time.monotonic()
        while gone_at is None or time.monotonic() < gone_at + (gone_at - begun) / 2:
            for way, c in clients.items():
                t.eq(ways[way](c).err, OK, "%s at %.1f s" % (way, time.monotonic() - begun))
            mover.drop()
            mover = s.client(timeout=ALIVE, session=mover.session.id,
                             password=mover.session.password)
            t.ok(mover.session.timeout == ALIVE, "reattached at %.1f s"
                 % (time.monotonic() - begun))
            try:
                if clock.recv_any(patience=0.3) is not None and gone_at is None:
                    gone_at = time.monotonic()
            except TimeoutError:
                pass
            clock.call("ping")
            if gone_at is None and clock.events:
                gone_at = time.monotonic()
            if time.monotonic() > begun + zkwire.PATIENCE:
                t.fail("the lazy session never expires")
                break
        t.eq(sorted(clock.must("children", root)), ["mover", "ping", "read", "write"],
             "ephemerals of those alive")


@rule("sessions: the newest timeout counts", own_server=True)
def newest_timeout(t):
    with t.server(SETTINGS) as s, s.client() as witness:
        root = area(witness)
        c = s.client(timeout=2500)
        c.must("create", root + "/long", b"", flags=EPHEMERAL)
        long = s.client(timeout=30000, session=c.session.id, password=c.session.password)
        other = s.client(timeout=30000)
        other.must("create", root + "/short", b"", flags=EPHEMERAL)
        short = s.client(timeout=500, session=other.session.id, password=other.session.password)
        t.eq((long.session.timeout, short.session.timeout), (30000, 500), "negotiated anew")
        # Once a session of 3000 ms that began later is gone, the first one has outlived its old
        # timeout.
        mark = s.client(timeout=3000)
        mark.must("create", root + "/mark", b"", flags=EPHEMERAL)
        witness.must("exists", root + "/mark", True)
        witness.wait_event()
        t.eq(witness.must("children", root), ["long"],
             "the prolonged one lives, the shortened one is gone")
        t.eq(long.err("exists", root), OK, "and is served")


@rule("sessions: close is answered behind everything before it; ephemerals are gone by then")
def close(t, s):
    with s.client() as c, s.client() as other:
        root = area(other)
        out = b"".join(c.encode("create", "%s/e%d" % (root, i), b"", flags=EPHEMERAL)
                       for i in range(20))
        out += c.encode("set", root, b"last") + c.encode("close") + c.encode("create", root
                                                                             + "/after")
        out += c.encode("set", root, b"after")
        c.send_bytes(out)
        replies = [c.recv() for _ in range(22)]
        t.eq([reply.err for reply in replies], [OK] * 22, "everything before, and the close")
        t.eq(replies[-1].body, b"", "close has no body")
        # The reference says "expired" to them now and then, before it closes.
        late = c.wait_closed()
        t.ok(all(reply.err == SESSIONEXPIRED for reply in late),
             "requests behind it are not served: %r" % late)
        t.eq(other.must("children", root), [], "ephemerals are gone, nothing came after")
        t.eq(other.must("get", root)[0], b"last", "the data")
        with s.client(shake=False) as late:
            answer = late.handshake(session=c.session.id, password=c.session.password)
            t.eq((answer.timeout, answer.id), (0, 0), "the closed session")


@rule("sessions: a dropped connection keeps session and ephemerals")
def dropped(t, s):
    with s.client() as c, s.client() as other:
        root = area(other)
        c.must("create", root + "/e", b"", flags=EPHEMERAL)
        c.drop()
        t.eq(other.err("exists", root + "/e"), OK, "the ephemeral")
        with s.client(session=c.session.id, password=c.session.password) as again:
            t.eq(again.err("delete", root + "/e"), OK, "after the reattach")
            again.close_session()


@rule("sessions: after a move the old connection's writes fail")
def moved(t, s):
    with s.client() as old, s.client() as other:
        root = area(other)
        old.must("create", root + "/e", b"", flags=EPHEMERAL)
        with s.client(session=old.session.id, password=old.session.password) as new:
            try:
                t.eq(old.err("create", root + "/late"), SESSIONMOVED,
                     "a write on the old connection")
            except (Closed, OSError):
                pass
            t.eq(other.must("children", root), ["e"], "it made nothing")
            t.eq(new.err("set", root, b"new"), OK, "the new one goes on")
            new.close_session()
        t.eq(other.err("exists", root + "/e"), NONODE, "the close took the ephemeral")


@rule("sessions: pipelined writes of the old connection do not end up behind the new one's")
def moved_pipeline(t, s):
    with s.client() as setup:
        root = area(setup)
        for turn in range(20):
            path = "%s/n%d" % (root, turn)
            setup.must("create", path)
            old = s.client()
            old.send_bytes(b"".join(old.encode("set", path, b"old") for _ in range(50)))
            new = s.client(session=old.session.id, password=old.session.password)
            t.eq(new.err("set", path, b"new"), OK, "the new connection's write, turn %d" % turn)
            old.drop()
            setup.must("sync", path)
            t.eq(setup.must("get", path)[0], b"new", "the last word, turn %d" % turn)
            new.close_session()


@rule("sessions: many at once, opened and closed")
def many(t, s):
    with s.client() as setup:
        root = area(setup)
        clients = [s.client() for _ in range(150)]
        for n, c in enumerate(clients):
            c.send("create", "%s/e%d" % (root, n), b"", flags=EPHEMERAL)
        t.ok(all(c.recv().err == OK for c in clients), "150 ephemerals")
        t.eq(setup.must("exists", root).num_children, 150, "listed")
        for c in clients:
            c.send("close")
        t.ok(all(c.recv().err == OK for c in clients), "150 closes")
        t.eq(setup.must("children", root), [], "all gone")
        t.eq(setup.must("exists", root).cversion, 300, "counted")
        for c in clients:
            c.drop()
