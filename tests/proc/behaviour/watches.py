"""One-shot watches: which event, when, and in what order."""

from behaviour import area, rule
from zkwire import CHANGED, CHILD, CREATED, DELETED, EPHEMERAL, NONODE, OK, Event, Reply, acl_world


@rule("watches: an event has xid -1, err 0, state 3 and the path")
def event_form(t, s):
    with s.client() as c:
        root = area(c)
        c.must("get", root, True)
        c.must("set", root, b"1")
        event = c.events[0]
        t.eq((event.type, event.path, event.state), (CHANGED, root, 3), "the event")
        t.eq(event.zxid, -1, "its header's zxid")


@rule("watches: an event comes before the reply of the write that caused it")
def event_before_reply(t, s):
    with s.client() as c:
        root = area(c)
        c.must("exists", root, True)
        c.must("children", root, True)
        c.log.clear()
        c.send_bytes(c.encode("ping") + c.encode("create", root + "/a")
                     + c.encode("set", root, b"1") + c.encode("ping"))
        while len(c.pending):
            c.recv()
        shape = [e if isinstance(e, Event) else "reply" for e in c.log]
        shape = [(e.type, e.path) if isinstance(e, Event) else e for e in shape]
        t.eq(shape, ["reply", (CHILD, root), "reply", (CHANGED, root), "reply", "reply"],
             "what came, in order")
        wrong = 0
        for i in range(100):
            c.log.clear()
            c.send_bytes(c.encode("get", root, True) + c.encode("set", root, b"%d" % i)
                         + c.encode("get", root))
            while len(c.pending):
                c.recv()
            kinds = [isinstance(entry, Event) for entry in c.log]
            wrong += kinds != [False, True, False, False]
        t.eq(wrong, 0, "wrong orders among 100 pipelined get, set, get")


@rule("watches: an event comes before any reply that shows the new state to the watcher")
def event_before_state(t, s):
    with s.client() as watcher, s.client() as writer:
        root = area(writer)
        wrong = []
        for i in range(60):
            version = watcher.must("get", root, True)[1].version
            watcher.log.clear()
            writer.send("set", root, b"%d" % i)
            for _ in range(6):
                watcher.send("exists", root)
            for _ in range(6):
                watcher.recv()
            writer.recv()
            seen_event = False
            for entry in watcher.log:
                if isinstance(entry, Event):
                    seen_event = True
                elif entry.value.version > version and not seen_event:
                    wrong.append((i, watcher.log))
            t.eq(watcher.take_events() and len(wrong), 0, "an event, and none late, in turn %d" % i)
        t.eq(wrong[:1], [], "a state shown before its event")


@rule("watches: exists leaves a watch whether the node is there or not")
def exists_watch(t, s):
    with s.client() as c, s.client() as w:
        root = area(w)
        node = root + "/n"
        t.eq(c.err("exists", node, True), NONODE, "exists of a missing node")
        w.must("create", node)
        t.eq(c.take_events(), [(CREATED, node)], "created")
        w.must("set", node, b"1")
        t.eq(c.take_events(), [], "one shot only")
        t.eq(c.err("exists", node, True), OK, "exists of a node")
        w.must("set", node, b"2")
        t.eq(c.take_events(), [(CHANGED, node)], "changed")
        c.must("exists", node, True)
        w.must("delete", node)
        t.eq(c.take_events(), [(DELETED, node)], "deleted")
        w.must("create", node)
        t.eq(c.take_events(), [], "gone with the node")
        for _ in range(3):
            c.must("exists", node, True)
        w.must("set", node, b"3")
        t.eq(c.take_events(), [(CHANGED, node)], "set thrice, fired once")


@rule("watches: getData and getChildren leave none when they fail")
def failed_reads(t, s):
    with s.client() as c, s.client() as w:
        root = area(w)
        node = root + "/n"
        for name in ("get", "children", "children2"):
            t.eq(c.err(name, node, True), NONODE, "%s of a missing node" % name)
        w.must("create", node)
        t.eq(c.take_events(), [], "no events for what failed with NONODE")
        w.must("set_acl", node, acl_world(31 - 1))
        for name in ("get", "children", "children2"):
            t.eq(c.err(name, node, True), -102, "%s without READ" % name)
        w.must("set", node, b"1")
        w.must("create", node + "/c")
        t.eq(c.take_events(), [], "no events for what failed with NOAUTH")


@rule("watches: data and child watches, what fires them and what does not")
def kinds(t, s):
    with s.client() as c, s.client() as w:
        root = area(w)
        node = root + "/n"
        w.must("create", node)
        c.must("get", node, True)
        c.must("children", node, True)
        w.must("set", node, b"1")
        t.eq(c.take_events(), [(CHANGED, node)], "a set fires the data watch only")
        c.must("get", node, True)
        w.must("create", node + "/c")
        t.eq(c.take_events(), [(CHILD, node)], "a child's creation fires the child watch only")
        c.must("children2", node, True)
        w.must("set", node + "/c", b"1")
        w.must("set_acl", node + "/c", acl_world(31))
        w.must("create", node + "/c/g")
        w.must("delete", node + "/c/g")
        w.must("set_acl", node, acl_world(31))
        t.eq(c.take_events(), [], "a child's set, setACL, grandchildren and setACL fire nothing")
        w.must("delete", node + "/c")
        t.eq(c.take_events(), [(CHILD, node)], "a child's deletion, with children2's watch")
        w.err("set", node, b"", 1000)
        t.eq(c.take_events(), [], "a failed set fires nothing")
        w.must("set", node, b"")
        t.eq(c.take_events(), [(CHANGED, node)], "the data watch was there all the time")


@rule("watches: exists and getData share a table")
def shared_table(t, s):
    with s.client() as c, s.client() as w:
        root = area(w)
        c.must("get", root, True)
        c.must("exists", root, True)
        w.must("set", root, b"1")
        t.eq(c.take_events(), [(CHANGED, root)], "one event")
        w.must("set", root, b"2")
        t.eq(c.take_events(), [], "and no other")


@rule("watches: delete fires 2 once for data and child watches, then 4 for the parent")
def delete_order(t, s):
    with s.client() as c, s.client() as w:
        root = area(w)
        node = root + "/n"
        w.must("create", node)
        c.must("get", node, True)
        c.must("exists", node, True)
        c.must("children", node, True)
        c.must("children", root, True)
        w.must("delete", node)
        t.eq(c.take_events(), [(DELETED, node), (CHILD, root)], "delete of a node with all watches")
        w.must("create", node)
        c.must("children", node, True)
        w.must("delete", node)
        t.eq(c.take_events(), [(DELETED, node)], "a child watch alone fires 2")


@rule("watches: create fires 1, then 4 for the parent; the parent's data watch stays")
def create_order(t, s):
    with s.client() as c, s.client() as w:
        root = area(w)
        node = root + "/n"
        c.err("exists", node, True)
        c.must("children", root, True)
        c.must("get", root, True)
        w.must("create", node)
        t.eq(c.take_events(), [(CREATED, node), (CHILD, root)], "create")
        w.must("create", root + "/m")
        t.eq(c.take_events(), [], "the child watch was one-shot")
        w.must("set", root, b"1")
        t.eq(c.take_events(), [(CHANGED, root)], "the parent's data watch")


@rule("watches: each connection has its own, and only once")
def many_watchers(t, s):
    with s.client() as w:
        root = area(w)
        watchers = [s.client() for _ in range(20)]
        for c in watchers:
            c.must("get", root, True)
            c.must("children", root, True)
        w.must("set", root, b"1")
        w.must("create", root + "/a")
        w.must("set", root, b"2")
        for n, c in enumerate(watchers):
            t.eq(c.take_events(), [(CHANGED, root), (CHILD, root)], "watcher %d" % n)
            c.close_session()


@rule("watches: multi: all events after all of it, in their order; none when it failed")
def multi_events(t, s):
    with s.client() as c, s.client() as w:
        root = area(w)
        a, b = root + "/a", root + "/b"
        w.must("create", b)

        def arm(client):
            client.err("exists", a, True)
            client.must("get", b, True)
            client.must("children", root, True)
            client.must("get", root, True)
        arm(c)
        w.must("multi", [("set", b, b"1"), ("create", a), ("set", root, b"r"), ("delete", b)])
        t.eq(c.take_events(), [(CHANGED, b), (CREATED, a), (CHILD, root), (CHANGED, root)],
             "of the multi")
        w.must("delete", a)
        w.must("create", b)
        arm(c)
        failed = w.call("multi", [("set", b, b"1"), ("create", a), ("delete", root + "/none")])
        t.eq(failed.err, OK, "header of the failed multi")
        t.eq(c.take_events(), [], "of a failed multi")
        # The first event arrives when the last operation is visible already.
        watcher = s.client()
        watcher.must("get", b, True)
        w.send("multi", [("set", b, b"first")]
               + [("create", "%s/x%d" % (root, i)) for i in range(200)])
        watcher.wait_event()
        t.eq(watcher.err("exists", root + "/x199"), OK,
             "the last node, once the first event was seen")
        w.recv()
        watcher.close_session()
        both = s.client()
        both.err("exists", root + "/t", True)
        w.must("multi", [("create", root + "/t"), ("delete", root + "/t")])
        t.eq(both.take_events(), [(CREATED, root + "/t")], "created and deleted in one multi")
        both.close_session()


@rule("watches: a session's end fires 2 for each ephemeral and 4 for its parent once, in one zxid")
def session_end(t, s):
    with s.client() as c, s.client() as w:
        root = area(c)
        names = [root + "/e%d" % i for i in range(5)]
        for name in names:
            w.must("create", name, b"", flags=EPHEMERAL)
            c.must("get", name, True)
        c.must("children", root, True)
        before = c.must("exists", root)
        closed = w.close_session()
        events = c.take_events()
        t.eq(sorted(e for e in events if e[0] == DELETED),
             sorted((DELETED, name) for name in names), "deletions")
        t.eq([e for e in events if e[0] != DELETED], [(CHILD, root)], "the parent's")
        after = c.must("exists", root)
        t.eq((after.cversion, after.num_children), (before.cversion + 5, 0),
             "the parent's counters")
        t.ok(after.pzxid > before.pzxid, "the parent's pzxid")
        t.eq(after.pzxid, closed.zxid, "one zxid: that of the close")


@rule("watches: setWatches: what happened meanwhile fires, the rest is armed")
def set_watches(t, s):
    with s.client() as w, s.client() as c:
        root = area(w)
        path = {name: root + "/" + name
                for name in ("same", "set", "gone", "born", "kids", "nokids", "never", "old",
                                                     "childgone")}
        for name in ("same", "set", "gone", "kids", "nokids", "old", "childgone"):
            w.must("create", path[name])
        zxid = w.call("sync", root).zxid
        w.must("set", path["set"], b"1")
        w.must("delete", path["gone"])
        w.must("delete", path["childgone"])
        w.must("create", path["born"])
        w.must("create", path["kids"] + "/k")
        reply = c.call("set_watches", zxid, data=[path["same"], path["set"], path["gone"]],
                       exist=[path["born"], path["never"], path["old"]],
                       child=[path["kids"], path["nokids"], path["childgone"]])
        t.eq((reply.xid, reply.err, reply.body), (-8, OK, b""), "the answer")
        t.eq(sorted(c.take_events()),
             sorted([(CHANGED, path["set"]), (DELETED, path["gone"]), (CREATED, path["born"]),
                                              (CREATED, path["old"]), (CHILD, path["kids"]),
                                              (DELETED, path["childgone"])]), "events of the past")
        w.must("set", path["same"], b"2")
        w.must("create", path["never"])
        w.must("create", path["nokids"] + "/k")
        t.eq(c.take_events(),
             [(CHANGED, path["same"]), (CREATED, path["never"]), (CHILD, path["nokids"])],
             "armed ones")
        w.must("set", path["set"], b"3")
        w.must("create", path["gone"])
        w.must("set", path["born"], b"3")
        w.must("create", path["kids"] + "/k2")
        w.must("create", path["childgone"])
        t.eq(c.take_events(), [], "a path whose event was sent is not armed")


@rule("watches: setWatches after a reconnect loses nothing")
def set_watches_reconnect(t, s):
    with s.client() as w, s.client() as old:
        root = area(w)
        old.must("get", root, True)
        old.must("children", root, True)
        old.err("exists", root + "/x", True)
        seen = old.call("ping").zxid
        old.drop()
        w.must("set", root, b"1")
        w.must("create", root + "/x")
        with s.client(session=old.session.id, password=old.session.password, last_zxid=seen) as new:
            new.send_bytes(new.encode("set_watches", seen, data=[root], child=[root],
                                      exist=[root + "/x"])
                           + new.encode("get", root))
            replies = []
            new.log.clear()
            while new.pending:
                replies.append(new.recv())
            t.eq(sorted((e.type, e.path) for e in new.events),
                 sorted([(CHANGED, root), (CHILD, root), (CREATED, root + "/x")]),
                 "what was missed")
            last = max(n for n, e in enumerate(new.log) if isinstance(e, Event))
            read = max(n for n, e in enumerate(new.log) if isinstance(e, Reply))
            t.ok(last < read, "before the read behind it")
            new.close_session()


@rule("watches: setWatches with empty lists, and of the root")
def set_watches_edges(t, s):
    with s.client() as c, s.client() as w:
        reply = c.call("set_watches", 0)
        t.eq((reply.xid, reply.err), (-8, OK), "empty lists")
        now = c.call("sync", "/").zxid
        c.call("set_watches", now, child=["/"], data=["/"])
        t.eq(c.take_events(), [], "armed on the root")
        root = area(w)
        t.eq(c.take_events(), [(CHILD, "/")], "a child of the root")
        c.must("children", "/", True)
        w.must("delete", root)
        t.eq(c.take_events(), [(CHILD, "/")], "deleted from the root")
        reply = c.call("set_watches", now, exist=["%s/%d" % (root, i) for i in range(3000)])
        t.eq(reply.err, OK, "3000 watches in a packet")


@rule("watches: they go with the connection")
def with_the_connection(t, s):
    with s.client() as w:
        root = area(w)
        with s.client() as c:
            c.must("get", root, True)
            c.must("children", root, True)
        w.must("set", root, b"1")
        w.must("create", root + "/c")
        t.eq(w.take_events(), [], "nothing for the writer")
        t.eq(w.must("get", root)[1].version, 1, "and the write is there")


@rule("watches: an abandoned watch costs nothing: a thousand on one node, then its change")
def thousand_watches(t, s):
    with s.client() as w, s.client() as c:
        root = area(w)
        w.must("multi", [("create", "%s/n%d" % (root, i)) for i in range(1000)])
        c.send_bytes(b"".join(c.encode("get", "%s/n%d" % (root, i), True) for i in range(1000)))
        while c.pending:
            c.recv()
        w.must("multi", [("set", "%s/n%d" % (root, i), b"1") for i in range(1000)])
        t.eq(c.take_events(), [(CHANGED, "%s/n%d" % (root, i)) for i in range(1000)],
             "a thousand events in order")
