"""Transactions."""

import zkwire
from behaviour import area, rule
from zkwire import (BADARGUMENTS, BADVERSION, EPHEMERAL, INVALIDACL, MARSHALLING, NOAUTH,
                    NOCHILDRENFOREPHEMERALS,
                    NODEEXISTS, NONODE, NOTEMPTY, OK, RUNTIMEINCONSISTENCY, SEQUENTIAL, acl_world)


@rule("multi: an empty one")
def empty(t, s):
    with s.client() as c:
        reply = c.call("multi", [])
        t.eq((reply.err, reply.value), (OK, []), "the answer")
        t.eq(reply.body, b"\xff\xff\xff\xff\x01\xff\xff\xff\xff", "its bytes")


@rule("multi: the answers of success")
def success(t, s):
    with s.client() as c:
        root = area(c)
        reply = c.call("multi",
                       [("create", root + "/a", b"1"), ("set", root + "/a", b"22"),
                        ("check", root + "/a", 1),
                                 ("create", root + "/s-", b"", {"flags": SEQUENTIAL}),
                        ("create2", root + "/b", b"2"),
                                 ("delete", root + "/a", 1), ("set", root, b"r", 0)])
        t.eq(reply.err, OK, "header")
        got = reply.value
        t.eq(len(got), 7, "seven results")
        t.eq(got[0], (1, root + "/a"), "create")
        t.eq((got[1][0], got[1][1].version, got[1][1].data_length), (5, 1, 2), "setData: its Stat")
        t.eq(got[2], (13, None), "check")
        t.eq(got[3], (1, root + "/s-0000000001"), "a sequential create")
        t.among(got[4] if got[4][0] == 1 else (15, got[4][1][0]),
                ((1, root + "/b"), (15, root + "/b")), "create2")
        t.eq(got[5], (2, None), "delete")
        t.eq((got[6][0], got[6][1]), (5, c.must("exists", root)),
             "the Stat of a set that nothing follows")
        t.eq(sorted(c.must("children", root)), ["b", "s-0000000001"], "what is left")
        t.eq(c.must("exists", root + "/b").czxid, reply.zxid, "the zxid")


@rule("multi: failure: 0 before it, its code, -2 behind; nothing applied, no number taken")
def failure(t, s):
    with s.client() as c:
        root = area(c)
        c.must("create", root + "/full")
        c.must("create", root + "/full/kid")
        c.must("create", root + "/closed", b"", acl_world(31 - 2 - 4))
        c.must("create", root + "/e", b"", flags=EPHEMERAL)
        before = c.must("exists", root)
        for what, op, code in (("create of what exists", ("create", root + "/full"), NODEEXISTS),
                               ("create without a parent", ("create", root + "/x/y"), NONODE),
                               ("create below an ephemeral", ("create", root + "/e/y"),
                                NOCHILDRENFOREPHEMERALS),
                               ("create without CREATE", ("create", root + "/closed/y"), NOAUTH),
                               ("create with a bad path", ("create", root + "/."), BADARGUMENTS),
                               ("create without an ACL", ("create", root + "/y", b"", []),
                                INVALIDACL),
                               ("delete of what is not there", ("delete", root + "/x"), NONODE),
                               ("delete of another version", ("delete", root + "/full", 9),
                                BADVERSION),
                               ("delete of what has children", ("delete", root + "/full"),
                                NOTEMPTY),
                               ("delete of the root", ("delete", "/"), BADARGUMENTS),
                               ("set of what is not there", ("set", root + "/x"), NONODE),
                               ("set of another version", ("set", root, b"", 5), BADVERSION),
                               ("set without WRITE", ("set", root + "/closed"), NOAUTH),
                               ("check of what is not there", ("check", root + "/x", -1), NONODE),
                               ("check of another version", ("check", root, 5), BADVERSION)):
            reply = c.call("multi",
                           [("create", root + "/n"),
                            ("create", root + "/s", b"", {"flags": SEQUENTIAL}), op,
                                     ("set", root, b"no"), ("delete", root + "/nothere")])
            t.eq((reply.err, reply.value),
                 (OK, [(-1, 0), (-1, 0), (-1, code), (-1, RUNTIMEINCONSISTENCY),
                                                 (-1, RUNTIMEINCONSISTENCY)]), what)
            first = c.call("multi", [op])
            t.eq(first.value, [(-1, code)], "%s, alone" % what)
        t.eq(c.must("exists", root), before, "the parent's Stat")
        t.eq(sorted(c.must("children", root)), ["closed", "e", "full"], "its children")
        t.eq(c.must("create", root + "/s", b"", flags=SEQUENTIAL), root + "/s0000000003",
             "the next number")


@rule("multi: operations see the changes of those before them")
def sees_itself(t, s):
    with s.client() as c:
        root = area(c)
        p = root + "/p"
        got = c.must("multi",
                     [("create", p), ("create", p + "/c"), ("set", p, b"1", 0), ("set", p, b"2", 1),
                               ("check", p, 2), ("delete", p + "/c"), ("delete", p, 2)])
        t.eq([kind for kind, _ in got], [1, 1, 5, 5, 13, 2, 2], "create, child, versions, delete")
        t.eq(c.err("exists", p), NONODE, "gone")
        t.eq(c.must("multi", [("create", p), ("create", p + "/c"), ("delete", p)]),
             [(-1, 0), (-1, 0), (-1, NOTEMPTY)], "NOTEMPTY by its own child")
        t.eq(c.must("multi", [("create", p, b"", {"flags": EPHEMERAL}), ("create", p + "/c")]),
             [(-1, 0), (-1, NOCHILDRENFOREPHEMERALS)], "its own ephemeral")
        t.eq(c.must("multi", [("create", p), ("create", p)]), [(-1, 0), (-1, NODEEXISTS)],
             "twice the same")
        t.eq(c.must("multi", [("create", p), ("delete", p), ("check", p, -1)]),
             [(-1, 0), (-1, 0), (-1, NONODE)],
             "check of its own deletion")
        t.eq(c.must("multi", [("create", p), ("delete", p), ("create", p, b"again")])[2], (1, p),
             "made again")
        t.eq(c.must("get", p)[1].version, 0, "version of the second")
        got = c.must("multi", [("create", p + "/s", b"", {"flags": SEQUENTIAL})] * 3)
        t.eq([path for _, path in got], ["%s/s%010d" % (p, i) for i in range(3)], "numbers run on")


@rule("multi: ephemerals and sequential ephemerals")
def ephemerals(t, s):
    with s.client() as c, s.client() as other:
        root = area(other)
        c.must("multi", [("create", root + "/e", b"", {"flags": EPHEMERAL}),
                         ("create", root + "/s", b"", {"flags": EPHEMERAL | SEQUENTIAL})])
        t.eq(other.must("exists", root + "/e").owner, c.session.id, "the owner")
        c.close_session()
        t.eq(other.must("children", root), [], "gone with the session")


@rule("multi: reads, sync, setACL or a multi within it make the whole -5")
def not_allowed(t, s):
    with s.client() as c:
        root = area(c)
        for what, op in (("exists", (3, zkwire.body_watch(root))),
                         ("getData", (4, zkwire.body_watch(root))),
                         ("getACL", (6, zkwire.text(root))),
                         ("setACL", (7, zkwire.body_set_acl(root))),
                         ("getChildren", (8, zkwire.body_watch(root))),
                         ("sync", (9, zkwire.text(root))),
                         ("a multi", (14, zkwire.body_multi([]))), ("a ping", (11, b"")),
                         ("op 9999", (9999, b""))):
            reply = c.call("multi", [("create", root + "/n"), op])
            t.eq((reply.err, reply.body), (MARSHALLING, b""), "%s in a multi" % what)
        t.eq(c.must("children", root), [], "nothing was made")


@rule("multi: five thousand operations")
def large(t, s):
    with s.client() as c:
        root = area(c)
        got = c.must("multi", [("create", "%s/%d" % (root, i)) for i in range(5000)])
        t.eq(len(got), 5000, "results")
        t.eq(c.must("exists", root).num_children, 5000, "children")
        got = c.must("multi", [("delete", "%s/%d" % (root, i)) for i in range(5000)])
        t.ok(all(result == (2, None) for result in got), "deleted")
        failed = c.must("multi", [("create", "%s/%d" % (root, i)) for i in range(3000)]
                        + [("delete", root + "/none")])
        t.eq((failed[0], failed[2999], failed[3000]), ((-1, 0), (-1, 0), (-1, NONODE)),
             "a long one that fails at its end")
        stat = c.must("exists", root)
        t.eq((stat.num_children, stat.cversion), (0, 10000), "nothing of it is left")


@rule("multi: pipelined among other requests")
def pipelined(t, s):
    with s.client() as c:
        root = area(c)
        out = b""
        for i in range(100):
            out += c.encode("multi", [("set", root, b"%d" % i, i), ("create", "%s/%d" % (root, i))])
            out += c.encode("get", root)
            out += c.encode("multi", [("set", root, b"no"), ("check", root, 0)])
        c.send_bytes(out)
        wrong = []
        for i in range(100):
            done, got, failed = c.recv(), c.recv(), c.recv()
            want = [(-1, 0), (-1, BADVERSION)]
            if done.value[1] != (1, "%s/%d"
                                 % (root, i)) or got.value[0] != b"%d" % i or failed.value != want:
                wrong.append((i, done, got, failed))
        t.eq(wrong[:1], [], "a hundred of each")
