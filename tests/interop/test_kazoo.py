#!/usr/bin/env python3
"""Debian's kazoo against the server: the client, and each of its recipes between two clients."""

import logging
import os
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path[:0] = [os.path.join(os.path.dirname(HERE), "lib")]

import pandotest  # noqa: E402
import zkwire  # noqa: E402
from pandotest import wait_until  # noqa: E402

try:
    from kazoo import exceptions
    from kazoo.client import KazooClient, KazooState
    from kazoo.protocol.states import EventType
    from kazoo.recipe.barrier import Barrier, DoubleBarrier
    from kazoo.recipe.cache import TreeCache, TreeEvent
    from kazoo.security import ACL, Id, OPEN_ACL_UNSAFE
except ImportError as missing:
    pandotest.skip("kazoo is missing (package python3-kazoo): %s" % missing)

PATIENCE = 60


class Clients:
    """Kazoo clients of one test, stopped at its end."""

    def __init__(self, server):
        self.server, self.all = server, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for client in self.all:
            client.stop()
            client.close()

    def __call__(self, **kwargs):
        kwargs.setdefault("timeout", 20)
        client = KazooClient(hosts=self.server.hosts, **kwargs)
        client.start(timeout=PATIENCE)
        self.all.append(client)
        return client


def raises(t, error, what, call, *args, **kwargs):
    try:
        value = call(*args, **kwargs)
    except error:
        return t.ok(True, what)
    except Exception as other:  # pylint: disable=broad-except
        return t.fail("%s: expected %s, got %r" % (what, error.__name__, other))
    return t.fail("%s: expected %s, got %r" % (what, error.__name__, value))


class Started:
    """A thread whose failure is the test's."""

    def __init__(self, call, *args):
        self.result, self.error = None, None
        self.thread = threading.Thread(target=self._run, args=(call,) + args, daemon=True)
        self.thread.start()

    def _run(self, call, *args):
        try:
            self.result = call(*args)
        except Exception as error:  # pylint: disable=broad-except
            self.error = error

    def join(self):
        self.thread.join(PATIENCE)
        if self.thread.is_alive():
            raise TimeoutError("a thread does not end")
        if self.error is not None:
            raise self.error
        return self.result


def basics(t, s):
    with Clients(s) as new:
        a = new()
        t.eq(a.state, KazooState.CONNECTED, "connected")
        t.ok(a.server_version()[:2] >= (3, 5), "server_version(): %r" % (a.server_version(),))
        t.eq(a.create("/basic", b"one"), "/basic", "create")
        data, stat = a.get("/basic")
        t.eq((data, stat.version, stat.numChildren, stat.dataLength), (b"one", 0, 0, 3), "get")
        t.eq(stat.czxid, stat.mzxid, "zxids")
        t.ok(abs(stat.created - time.time()) < 600, "ctime as kazoo reads it")
        t.eq(a.set("/basic", b"two").version, 1, "set")
        t.eq(a.set("/basic", b"three", version=1).version, 2, "set with the version")
        raises(t, exceptions.BadVersionError, "set with another", a.set, "/basic", b"", version=7)
        raises(t, exceptions.NodeExistsError, "create again", a.create, "/basic")
        raises(t, exceptions.NoNodeError, "get of nothing", a.get, "/nothing")
        raises(t, exceptions.NoNodeError, "create without a parent", a.create, "/no/parent")
        t.eq(a.exists("/nothing"), None, "exists of nothing")
        t.eq(a.create("/deep/er/and/deeper", b"x", makepath=True), "/deep/er/and/deeper",
             "makepath")
        t.eq(a.ensure_path("/deep/er"), True, "ensure_path")
        t.eq(a.get_children("/deep"), ["er"], "get_children")
        children, stat = a.get_children("/deep", include_data=True)
        t.eq((children, stat.numChildren), (["er"], 1), "get_children with the Stat")
        raises(t, exceptions.NotEmptyError, "delete of what has children", a.delete, "/deep")
        a.delete("/deep", recursive=True)
        t.eq(a.exists("/deep"), None, "recursive delete")
        path, stat = a.create("/basic/two", b"22", include_data=True)
        t.eq((path, stat.dataLength), ("/basic/two", 2), "create with the Stat")
        t.eq(a.create("/basic/s-", sequence=True), "/basic/s-0000000001", "sequential")
        e = a.create("/basic/e", ephemeral=True)
        t.eq(a.exists(e).ephemeralOwner, a.client_id[0], "ephemeralOwner")
        raises(t, exceptions.NoChildrenForEphemeralsError, "below an ephemeral", a.create,
               "/basic/e/x")
        raises(t, exceptions.InvalidACLError, "an ACL that is none", a.create, "/basic/acl",
               acl=[ACL(31, Id("nosuch", "x"))])
        acls, _ = a.get_acls("/basic")
        t.eq(acls, OPEN_ACL_UNSAFE, "get_acls")
        t.eq(a.set_acls("/basic", [ACL(1, Id("world", "anyone"))]).aversion, 1, "set_acls")
        raises(t, exceptions.NoAuthError, "set without WRITE", a.set, "/basic", b"")
        t.eq(a.sync("/basic"), "/basic", "sync")
        a.create("/null", b"")
        t.eq(a.get("/null")[0], b"", "empty data")
        big = b"x" * 1000000
        a.create("/large", big)
        t.eq(a.get("/large")[0], big, "a megabyte")
        t.eq(a.command(b"ruok"), "imok", "command")


def pipelined(t, s):
    with Clients(s) as new:
        a = new()
        a.create("/async")
        waiting = [a.create_async("/async/n%d" % n, b"%d" % n) for n in range(500)]
        t.eq([w.get(timeout=PATIENCE) for w in waiting], ["/async/n%d" % n for n in range(500)],
             "500 creates")
        waiting = [a.get_async("/async/n%d" % n) for n in range(500)]
        t.eq([w.get(timeout=PATIENCE)[0] for w in waiting], [b"%d" % n for n in range(500)],
             "500 gets")
        t.eq(len(a.get_children("/async")), 500, "children")
        for w in [a.delete_async("/async/n%d" % n) for n in range(500)]:
            w.get(timeout=PATIENCE)
        t.eq(a.get_children("/async"), [], "500 deletes")


def watches(t, s):
    with Clients(s) as new:
        a, b = new(), new()
        came = []
        a.create("/watched")
        a.get("/watched", watch=came.append)
        a.get_children("/watched", watch=came.append)
        a.exists("/watched/x", watch=came.append)
        b.set("/watched", b"1")
        b.create("/watched/x")
        wait_until(lambda: len(came) == 3, "three events")
        t.eq([(e.type, e.path) for e in came],
             [(EventType.CHANGED, "/watched"), (EventType.CREATED, "/watched/x"),
                                                (EventType.CHILD, "/watched")], "the events")
        a.exists("/watched/x", watch=came.append)
        b.delete("/watched/x")
        wait_until(lambda: len(came) == 4, "the deletion")
        t.eq(came[3].type, EventType.DELETED, "deleted")


def data_watch(t, s):
    with Clients(s) as new:
        a, b = new(), new()
        seen = []

        @a.DataWatch("/datawatch")
        def _(data, stat):
            seen.append((data, stat and stat.version))
        wait_until(lambda: seen == [(None, None)], "the first call")
        b.create("/datawatch", b"0")
        wait_until(lambda: (b"0", 0) in seen, "the creation")
        for n in range(1, 20):
            b.set("/datawatch", b"%d" % n)
            wait_until(lambda: (b"%d" % n, n) in seen, "change %d" % n)
        b.delete("/datawatch")
        wait_until(lambda: seen[-1] == (None, None), "the deletion")
        t.eq(seen, sorted(seen[:-1], key=lambda e: -1 if e[1] is None else e[1]) + [(None, None)],
             "in order")


def children_watch(t, s):
    with Clients(s) as new:
        a, b = new(), new()
        seen = []
        a.create("/childwatch")

        @a.ChildrenWatch("/childwatch")
        def _(children):
            seen.append(sorted(children))
        names = []
        for n in range(15):
            b.create("/childwatch/%02d" % n, ephemeral=bool(n % 2))
            names.append("%02d" % n)
            wait_until(lambda: seen[-1] == names, "child %d" % n)
        b.stop()
        wait_until(lambda: seen[-1] == names[::2], "the end of a session")
        t.ok(True, "fifteen children and the end of a session")


def tree_cache(t, s):
    with Clients(s) as new:
        a, b = new(), new()
        a.ensure_path("/cached/below")
        events = []
        cache = TreeCache(a, "/cached")
        cache.listen(lambda event: events.append((event.event_type, event.event_data
                                                  and event.event_data.path)))
        cache.start()
        wait_until(lambda: any(kind == TreeEvent.INITIALIZED for kind, _ in events),
                   "the cache to be filled")
        b.create("/cached/below/x", b"1")
        wait_until(lambda: cache.get_data("/cached/below/x")
                   and cache.get_data("/cached/below/x").data == b"1", "a node")
        b.set("/cached/below/x", b"2")
        wait_until(lambda: cache.get_data("/cached/below/x").data == b"2", "a change")
        t.eq(cache.get_children("/cached/below"), {"x"}, "children")
        b.delete("/cached/below", recursive=True)
        wait_until(lambda: cache.get_data("/cached/below/x") is None, "a deletion")
        t.ok((TreeEvent.NODE_UPDATED, "/cached/below/x") in events, "events: %r" % events)
        cache.close()


def transactions(t, s):
    with Clients(s) as new:
        a = new()
        a.create("/tx")
        tr = a.transaction()
        tr.create("/tx/a", b"1")
        tr.set_data("/tx/a", b"2")
        tr.check("/tx/a", version=1)
        tr.create("/tx/s-", sequence=True)
        tr.create("/tx/b")
        tr.delete("/tx/b")
        results = tr.commit()
        t.eq((results[0], results[1].version, results[2:4], results[4], results[5]),
             ("/tx/a", 1, [True, "/tx/s-0000000001"], "/tx/b", True), "results")
        tr = a.transaction()
        tr.create("/tx/c")
        tr.check("/tx/a", version=77)
        tr.create("/tx/d")
        results = tr.commit()
        t.eq([type(r) for r in results], [exceptions.RolledBackError, exceptions.BadVersionError,
                                          exceptions.RuntimeInconsistency], "a failed one")
        t.eq(sorted(a.get_children("/tx")), ["a", "s-0000000001"], "nothing applied")
        with a.transaction() as tr:
            tr.create("/tx/e", ephemeral=True)
        t.eq(a.exists("/tx/e").ephemeralOwner, a.client_id[0], "as a context, with an ephemeral")


def lock(t, s):
    with Clients(s) as new:
        clients = [new() for _ in range(3)]
        count, inside, most = [0], [0], [0]

        def work(client):
            mine = client.Lock("/lock", "c%d" % clients.index(client))
            for _ in range(10):
                with mine:
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                    count[0] += 1
                    client.exists("/")  # somebody else gets a chance to break in
                    inside[0] -= 1
        for thread in [Started(work, client) for client in clients]:
            thread.join()
        t.eq((count[0], most[0]), (30, 1), "entries, and the most at once")
        a, b = clients[0].Lock("/lock2", "a"), clients[1].Lock("/lock2", "b")
        t.eq(a.acquire(), True, "acquire")
        t.eq(b.acquire(blocking=False), False, "not while it is held")
        t.eq(a.contenders(), ["a"], "contenders")
        waiting = Started(b.acquire)
        wait_until(lambda: a.contenders() == ["a", "b"], "the second in the queue")
        clients[0].stop()  # the holder's session ends: its ephemeral goes
        t.eq(waiting.join(), True, "acquired after the holder's end")
        b.release()


def rw_locks(t, s):
    with Clients(s) as new:
        a, b, c = new(), new(), new()
        r1, r2, w = a.ReadLock("/rw"), b.ReadLock("/rw"), c.WriteLock("/rw")
        t.ok(r1.acquire() and r2.acquire(), "two readers")
        waiting = Started(w.acquire)
        wait_until(lambda: len(a.get_children("/rw")) == 3, "the writer in the queue")
        r1.release()
        r2.release()
        t.eq(waiting.join(), True, "the writer")
        t.eq(r1.acquire(blocking=False), False, "no reader beside it")
        w.release()


def semaphore(t, s):
    with Clients(s) as new:
        clients = [new() for _ in range(3)]
        semaphores = [client.Semaphore("/semaphore", max_leases=2) for client in clients]
        t.ok(semaphores[0].acquire() and semaphores[1].acquire(), "two leases")
        t.eq(semaphores[2].acquire(blocking=False), False, "no third")
        waiting = Started(semaphores[2].acquire)
        semaphores[0].release()
        t.eq(waiting.join(), True, "the third after a release")
        t.eq(len(semaphores[1].lease_holders()), 2, "holders")
        semaphores[1].release()
        semaphores[2].release()


def election(t, s):
    with Clients(s) as new:
        clients = [new() for _ in range(3)]
        order, go = [], threading.Event()

        def lead(name):
            order.append(name)
            go.wait(PATIENCE)
        threads = []
        for n, client in enumerate(clients):
            threads.append(Started(client.Election("/election", "c%d" % n).run, lead, n))
            wait_until(lambda: len(client.Election("/election").contenders()) == n + 1,
                       "contender %d" % n)
        wait_until(lambda: order == [0], "the first leader")
        t.eq(clients[0].Election("/election").contenders(), ["c0", "c1", "c2"], "contenders")
        go.set()
        for thread in threads:
            thread.join()
        t.eq(order, [0, 1, 2], "leaders in order")


def barriers(t, s):
    with Clients(s) as new:
        a, b = new(), new()
        barrier = Barrier(a, "/barrier")
        barrier.create()
        waiting = Started(Barrier(b, "/barrier").wait, PATIENCE)
        t.eq(Barrier(b, "/barrier").wait(timeout=0.01), False, "the barrier is up")
        t.eq(barrier.remove(), True, "removed")
        t.eq(waiting.join(), True, "the waiter passes")
        passed = []

        def work(client, name):
            double = DoubleBarrier(client, "/double", 2, identifier=name)
            double.enter()
            passed.append(name)
            wait_until(lambda: len(passed) == 2, "both inside")
            double.leave()
        threads = [Started(work, a, "a")]
        wait_until(lambda: b.exists("/double") and b.get_children("/double"),
                   "the first at the door")
        t.eq(passed, [], "the first waits for the second")
        threads.append(Started(work, b, "b"))
        for thread in threads:
            thread.join()
        t.eq(sorted(passed), ["a", "b"], "both")


def counter(t, s):
    with Clients(s) as new:
        clients = [new() for _ in range(3)]

        def work(client):
            mine = client.Counter("/counter")
            for _ in range(20):
                mine += 1
        for thread in [Started(work, client) for client in clients]:
            thread.join()
        t.eq(clients[0].Counter("/counter").value, 60, "sixty increments")


def queues(t, s):
    with Clients(s) as new:
        a, b = new(), new()
        queue, other = a.Queue("/queue"), b.Queue("/queue")
        for n in range(10):
            queue.put(b"%d" % n, priority=100 - n)
        t.eq(len(other), 10, "length")
        t.eq([other.get() for _ in range(11)], [b"%d" % n for n in range(9, -1, -1)] + [None],
             "by priority")
        locking, other = a.LockingQueue("/locking"), b.LockingQueue("/locking")
        locking.put_all([b"a", b"b", b"c"])
        t.eq(locking.get(timeout=PATIENCE), b"a", "the first holds one")
        t.eq(other.get(timeout=PATIENCE), b"b", "the second another")
        t.eq(locking.consume(), True, "consumed")
        t.eq(other.consume(), True, "consumed")
        t.eq(locking.get(timeout=PATIENCE), b"c", "the last")
        b_waits = Started(other.get, PATIENCE)
        a.stop()  # the holder's end gives the entry back
        t.eq(b_waits.join(), b"c", "an entry whose holder has gone")


def party(t, s):
    with Clients(s) as new:
        a, b = new(), new()
        pa, pb = a.Party("/party", "a"), b.Party("/party", "b")
        pa.join()
        pb.join()
        t.eq(sorted(pa), ["a", "b"], "both")
        pb.leave()
        t.eq(list(pa), ["a"], "one has left")
        shallow = b.ShallowParty("/party2", "s")
        shallow.join()
        t.eq(list(a.ShallowParty("/party2")), ["s"], "a shallow one")
        b.stop()
        wait_until(lambda: not list(a.ShallowParty("/party2")), "the party to be empty")


def partitioner(t, s):
    with Clients(s) as new:
        parts = [new().SetPartitioner("/partition", set=tuple(range(6)), identifier=name,
                                      time_boundary=0.2)
                 for name in ("p0", "p1")]

        def settled():
            for part in parts:
                if part.failed:
                    raise AssertionError("the partitioner failed")
                if part.release:
                    part.release_set()
                elif part.allocating:
                    part.wait_for_acquire(0.05)
            return all(part.acquired and len(list(part)) == 3 for part in parts)
        wait_until(settled, "both to have their part")
        t.eq(sorted(list(parts[0]) + list(parts[1])), list(range(6)),
             "the whole set, nothing twice")
        for part in parts:
            part.finish()


def drop_socket(client):
    """Cuts the connection below the client's feet."""
    sock = client._connection._socket
    sock.shutdown(2)


def reconnect(t, s):
    with Clients(s) as new:
        a, b = new(), new()
        states = []
        a.add_listener(states.append)
        a.create("/re")
        a.create("/re/e", ephemeral=True)
        seen = []

        @a.DataWatch("/re")
        def _(data, stat):
            seen.append(data)
        ident = a.client_id
        for n in range(5):
            before = len(states)
            drop_socket(a)
            b.set("/re", b"%d" % n)
            wait_until(lambda: states[before:].count(KazooState.CONNECTED) == 1, "connected again")
            wait_until(lambda: seen and seen[-1] == b"%d" % n, "the change that was missed")
            t.eq(a.client_id, ident, "the same session")
            t.ok(a.exists("/re/e"), "its ephemeral is there")
        t.ok(KazooState.LOST not in states, "never lost: %r" % states)


def move(t, s):
    with Clients(s) as new:
        a = new()
        states = []
        a.add_listener(states.append)
        a.create("/moving", ephemeral=True)
        ident, password = a.client_id
        # Somebody takes the session to another connection; kazoo's is closed, and it takes it back.
        with zkwire.Client(s.address, session=ident, password=password, timeout=20000) as thief:
            t.eq(thief.session.id, ident, "the same session elsewhere")
            thief.wait_closed()
        wait_until(lambda: states and states[-1] == KazooState.CONNECTED,
                   "kazoo to be connected again")
        t.eq(a.client_id, (ident, password), "the session is back")
        t.eq(a.retry(a.exists, "/moving").ephemeralOwner, ident, "with its ephemeral")
        t.ok(KazooState.LOST not in states, "never lost: %r" % states)


def expired(t, s):
    with Clients(s) as new:
        a, b = new(), new()
        a.create("/lost", ephemeral=True)
        states = []
        a.add_listener(states.append)
        # Its session is closed under its feet: the next handshake says expired.
        other = KazooClient(hosts=s.hosts, client_id=a.client_id)
        other.start(timeout=PATIENCE)
        other.stop()
        wait_until(lambda: KazooState.LOST in states, "the loss to be known")
        wait_until(lambda: states[-1] == KazooState.CONNECTED, "a new session")
        t.eq(b.exists("/lost"), None, "the ephemeral is gone")
        t.eq(a.create("/lost", ephemeral=True), "/lost", "made again in the new session")


def restarted(t, s):
    with Clients(s) as new:
        a = new()
        states = []
        a.add_listener(states.append)
        a.create("/kept", b"k", ephemeral=True)
        ident = a.client_id
        s.restart()
        wait_until(lambda: states and states[-1] == KazooState.CONNECTED,
                   "connected to the restarted server")
        t.eq(a.client_id, ident, "the same session")
        t.eq(a.retry(a.get, "/kept")[0], b"k", "its ephemeral")
        t.ok(KazooState.LOST not in states, "never lost: %r" % states)


def chroot(t, s):
    with Clients(s) as new:
        a = new()
        a.ensure_path("/root/of")
        c = KazooClient(hosts=s.hosts + "/root/of", timeout=20)
        c.start(timeout=PATIENCE)
        new.all.append(c)
        came = []
        c.create("/x", b"1")
        c.get("/x", watch=came.append)
        t.eq(a.get("/root/of/x")[0], b"1", "below the chroot")
        a.set("/root/of/x", b"2")
        wait_until(lambda: came, "an event")
        t.eq(came[0].path, "/x", "its path, without the chroot")


TESTS = [("client: basics", basics), ("client: pipelined calls", pipelined),
         ("client: watches", watches),
         ("client: chroot", chroot), ("transactions", transactions), ("DataWatch", data_watch),
         ("ChildrenWatch", children_watch), ("TreeCache", tree_cache), ("Lock", lock),
         ("ReadLock, WriteLock", rw_locks),
         ("Semaphore", semaphore), ("Election", election), ("Barrier, DoubleBarrier", barriers),
         ("Counter", counter),
         ("Queue, LockingQueue", queues), ("Party, ShallowParty", party),
         ("SetPartitioner", partitioner),
         ("reconnect", reconnect), ("session move", move), ("session expired", expired),
         ("server restarted", restarted)]


def main():
    options, server_class = pandotest.arguments(__doc__)
    runner = pandotest.Runner(options, server_class)
    logging.getLogger("kazoo").addHandler(logging.NullHandler())
    with runner.server({"tickTime": 500}) as server:
        for name, function in TESTS:
            runner.run(name, function, server)
    runner.finish()


if __name__ == "__main__":
    main()
