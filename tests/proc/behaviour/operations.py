"""create, delete, set, ACLs, check and reads: results, codes and the order of the checks."""

import time

from behaviour import area, rule
from zkwire import (ADMIN, ALL, BADARGUMENTS, BADVERSION, CREATE, DELETE, EPHEMERAL, INVALIDACL,
                    NOAUTH,
                    NOCHILDRENFOREPHEMERALS, NODEEXISTS, NONODE, NOTEMPTY, OK, READ, SEQUENTIAL,
                    WRITE, acl_world)


@rule("create: the answers of create and create2")
def create_answers(t, s):
    with s.client() as c:
        root = area(c)
        before = int(time.time() * 1000) - 2000
        for name in ("create", "create2"):
            path = root + "/" + name
            got = c.call(name, path, b"data")
            t.eq(got.value if name == "create" else got.value[0], path, "%s: the path" % name)
            data, stat = c.must("get", path)
            t.eq(data, b"data", "%s: data" % name)
            if name == "create2":
                t.eq(got.value[1], stat, "create2: the Stat")
            t.eq(stat.czxid, got.zxid, "%s: czxid" % name)
            t.eq((stat.mzxid, stat.pzxid), (stat.czxid, stat.czxid), "%s: mzxid, pzxid" % name)
            t.eq(stat.ctime, stat.mtime, "%s: times" % name)
            t.ok(before < stat.ctime < int(time.time() * 1000) + 2000, "%s: ctime in milliseconds"
                 % name)
            t.eq((stat.version, stat.cversion, stat.aversion, stat.owner, stat.data_length,
                  stat.num_children),
                 (0, 0, 0, 0, 4, 0), "%s: the rest" % name)
        path, stat = c.must("create2", root + "/s", b"", flags=SEQUENTIAL | EPHEMERAL)
        t.eq(path, root + "/s0000000002", "create2: the path with its number")
        t.eq(stat.owner, c.session.id, "create2: ephemeralOwner")


@rule("create: flags that are none")
def create_flags(t, s):
    with s.client() as c:
        root = area(c)
        for flags in (5, 6, 7, 8, 100, -1, -2147483648):
            for name in ("create", "create2"):
                t.eq(c.err(name, root + "/f", b"", flags=flags), BADARGUMENTS, "%s with flags %d"
                     % (name, flags))
        t.eq(c.err("create", root + "/none/x", b"", acl=[], flags=99), BADARGUMENTS,
             "flags come before the ACL")


@rule("create: which ACLs are none")
def create_acls(t, s):
    with s.client() as c:
        root = area(c)
        for acl in ([], None, [(ALL, "nosuch", "x")], [(ALL, "world", "nobody")],
                    [(ALL, "world", "")], [(ALL, "", "")],
                    [(ALL, "world", "anyone"), (ALL, "nosuch", "x")]):
            t.eq(c.err("create", root + "/a", b"", acl=acl), INVALIDACL, "create with %r" % (acl,))
            t.eq(c.err("set_acl", root, acl), INVALIDACL, "setACL to %r" % (acl,))
        t.eq(c.err("create", root + "/none/x", b"", acl=[]), INVALIDACL,
             "the ACL comes before the parent")
        t.eq(c.err("create", root, b"", acl=[]), INVALIDACL, "and before NODEEXISTS")


@rule("create: the order of checks")
def create_order(t, s):
    with s.client() as c:
        root = area(c)
        t.eq(c.err("create", root + "/none/x"), NONODE, "no parent")
        locked = root + "/locked"
        c.must("create", locked, b"", acl_world(ALL - CREATE))
        c.must("create", root + "/open")
        t.eq(c.err("create", locked + "/x"), NOAUTH, "no CREATE")
        t.among(c.err("create", locked + "/."), (NOAUTH, BADARGUMENTS), "no CREATE and a bad path")
        t.eq(c.err("create", root + "/open"), NODEEXISTS, "exists")
        c.must("create", root + "/e", b"", flags=EPHEMERAL)
        for flags in range(4):
            t.eq(c.err("create", root + "/e/c", b"", flags=flags), NOCHILDRENFOREPHEMERALS,
                 "below an ephemeral, %d" % flags)
        t.eq(c.err("create", root + "/e/."), BADARGUMENTS,
             "the path comes before the ephemeral parent")
        t.eq(c.err("create", root + "/e/c/d"), NONODE, "below what is not there")
        t.eq(c.must("exists", root).num_children, 3, "three children")


@rule("create: the number counts the children ever created, in any mode, deleted ones too")
def create_numbers(t, s):
    with s.client() as c:
        root = area(c)

        def make(name, flags=SEQUENTIAL):
            return c.must("create", root + name, b"", flags=flags)
        t.eq(make("/a"), root + "/a0000000000", "the first")
        t.eq(make("/b"), root + "/b0000000001", "another name")
        make("/plain", 0)
        t.eq(make("/a"), root + "/a0000000003", "after a plain one")
        c.must("delete", root + "/a0000000000")
        c.must("delete", root + "/plain")
        stat = c.must("exists", root)
        t.eq((stat.cversion, stat.num_children), (6, 2), "cversion counts deletions as well")
        t.eq(make("/a", SEQUENTIAL | EPHEMERAL), root + "/a0000000004", "not cversion")
        t.eq(c.err("create", root + "/b0000000001"), NODEEXISTS, "a failed create")
        t.eq(c.err("create", root + "/x\x01", b"", flags=SEQUENTIAL), BADARGUMENTS, "a refused one")
        t.eq(make("/a"), root + "/a0000000005", "takes no number")
        c.must("create", root + "/a0000000007", b"")
        t.eq(c.err("create", root + "/a", b"", flags=SEQUENTIAL), NODEEXISTS,
             "a number that is taken by hand")
        c.must("delete", root + "/a0000000007")
        t.eq(make("/a"), root + "/a0000000007", "free again")
        c.must("set", root, b"x")
        c.must("set_acl", root)
        t.eq(make("/"), root + "/0000000008", "set and setACL do not count")


@rule("create: numbers with several sessions are unique and in order of zxid")
def create_numbers_concurrent(t, s):
    with s.client() as setup:
        root = area(setup)
        clients = [s.client() for _ in range(6)]
        for c in clients:
            c.send_bytes(b"".join(c.encode("create2", root + "/q-", b"", flags=SEQUENTIAL)
                                  for _ in range(100)))
        made = []
        for c in clients:
            replies = [c.recv() for _ in range(100)]
            paths = [reply.value[0] for reply in replies]
            t.eq(paths, sorted(paths), "numbers of a connection grow")
            made += [(reply.zxid, reply.value[0]) for reply in replies]
            c.close_session()
        t.eq([path for _, path in sorted(made)], ["%s/q-%010d" % (root, i) for i in range(600)],
             "600 numbers")


@rule("create: null and empty data are kept apart")
def null_data(t, s):
    with s.client() as c:
        root = area(c)
        for data in (None, b"", b"\x00", b"x" * 100000):
            path = "%s/d%s" % (root, "null" if data is None else len(data))
            c.must("create", path, data)
            got, stat = c.must("get", path)
            t.eq((got, stat.data_length), (data, len(data or b"")), "create with %r"
                 % (data and data[:5],))
        for data in (None, b"", None, b"1", None):
            stat = c.must("set", root, data)
            t.eq(c.must("get", root), (data, stat), "set to %r" % (data,))
            t.eq(stat.data_length, len(data or b""), "dataLength")
        c.must("multi", [("create", root + "/m", None), ("set", root, b"")])
        t.eq((c.must("get", root + "/m")[0], c.must("get", root)[0]), (None, b""), "in a multi")


@rule("create: ephemerals belong to the session that made them")
def ephemeral_owner(t, s):
    with s.client() as a, s.client() as b:
        root = area(a)
        a.must("create", root + "/e", b"", flags=EPHEMERAL)
        t.eq(b.must("exists", root + "/e").owner, a.session.id, "ephemeralOwner")
        t.eq(b.err("set", root + "/e", b"by b"), OK, "set by another session")
        t.eq(b.must("exists", root + "/e").owner, a.session.id, "the owner stays")
        t.eq(b.err("delete", root + "/e"), OK, "deleted by another session")
        b.must("create", root + "/e", b"b's")
        b.must("create", root + "/f", b"", flags=EPHEMERAL)
        a.must("create", root + "/g", b"", flags=EPHEMERAL)
        a.close_session()
        t.eq(b.must("get", root + "/e")[0], b"b's",
             "made anew by another: not touched by the first's end")
        t.eq(sorted(b.must("children", root)), ["e", "f"], "only its own go")
        b.close_session()


@rule("delete: versions, children, and the order of checks")
def delete(t, s):
    with s.client() as c:
        root = area(c)
        node = root + "/n"
        c.must("create", node)
        c.must("set", node, b"1")
        for version in (0, 2, -2, 2147483647):
            t.eq(c.err("delete", node, version), BADVERSION, "delete with version %d" % version)
        c.must("create", node + "/c")
        t.eq(c.err("delete", node, 7), BADVERSION, "the version comes before NOTEMPTY")
        t.eq(c.err("delete", node, 1), NOTEMPTY, "with children")
        c.must("delete", node + "/c", -1)
        reply = c.call("delete", node, 1)
        t.eq((reply.err, reply.body), (OK, b""), "the right version")
        t.eq(c.err("delete", node), NONODE, "again")
        t.eq(c.err("delete", node + "/x"), NONODE, "below what is not there")
        t.eq(c.must("create2", node)[1].version, 0, "a new node starts at 0")


@rule("delete: the parent's DELETE counts, not the node's ACL")
def delete_permission(t, s):
    with s.client() as c:
        root = area(c)
        c.must("create", root + "/p", b"")
        c.must("create", root + "/p/n", b"", acl_world(ADMIN))
        c.must("create", root + "/p/m")
        c.must("set_acl", root + "/p", acl_world(ALL - DELETE))
        t.eq(c.err("delete", root + "/p/m"), NOAUTH, "without DELETE on the parent")
        t.eq(c.err("delete", root + "/p/none"), NOAUTH, "before existence")
        t.eq(c.err("delete", root + "/p/m", 9), NOAUTH, "before the version")
        c.must("set_acl", root + "/p", acl_world(ADMIN | DELETE))
        t.eq(c.err("delete", root + "/p/n"), OK, "the node's own ACL plays no part")
        t.eq(c.err("delete", root + "/p/m"), OK, "DELETE alone is enough")


@rule("delete: the reserved nodes")
def delete_reserved(t, s):
    with s.client() as c:
        for path in ("/", "/zookeeper", "/zookeeper/config", "/zookeeper/quota"):
            t.eq(c.err("delete", path), BADARGUMENTS, "delete %s" % path)
            t.eq(c.err("exists", path), OK, "%s exists" % path)


@rule("reserved tree: there from the start")
def reserved(t, s):
    with s.client() as c:
        t.ok("zookeeper" in c.must("children", "/"), "/zookeeper")
        t.eq(sorted(c.must("children", "/zookeeper")), ["config", "quota"], "its children")
        for path in ("/", "/zookeeper", "/zookeeper/config", "/zookeeper/quota"):
            stat = c.must("exists", path)
            t.eq((stat.czxid, stat.ctime, stat.owner), (0, 0, 0), "czxid, ctime, owner of %s"
                 % path)
        t.eq(c.must("get_acl", "/zookeeper/config")[0], acl_world(READ), "the config's ACL")
        for path in ("/", "/zookeeper", "/zookeeper/quota"):
            t.eq(c.must("get_acl", path)[0], acl_world(ALL), "ACL of %s" % path)
        t.eq(c.err("set", "/zookeeper/config", b"x"), NOAUTH, "the config cannot be set")
        t.eq(c.err("create", "/zookeeper/config/x"), NOAUTH, "nor have children")
        t.eq(c.err("set", "/", b"root"), OK, "the root can be set")
        t.eq(c.must("get", "/")[0], b"root", "and read")
        c.must("set", "/", b"")


@rule("set: versions and the new Stat")
def set_versions(t, s):
    with s.client() as c:
        root = area(c)
        for version in (1, -2, -2147483648, 2147483647):
            t.eq(c.err("set", root, b"x", version), BADVERSION, "set with version %d" % version)
        reply = c.call("set", root, b"abc", 0)
        stat = c.must("exists", root)
        t.eq(reply.value, stat, "the answered Stat is the node's")
        t.eq((stat.version, stat.data_length, stat.mzxid), (1, 3, reply.zxid),
             "version, length, mzxid")
        t.eq(c.must("set", root, b"abc", -1).version, 2, "the same data counts as well")
        t.eq(c.err("set", root + "/none", b"", 3), NONODE, "a missing node")
        c.must("set_acl", root, acl_world(ALL - WRITE))
        t.eq(c.err("set", root, b"", 77), NOAUTH, "WRITE comes before the version")
        c.must("set_acl", root, acl_world(ALL))
        t.eq(c.must("exists", root).version, 2, "failures leave it alone")


@rule("setACL: against aversion, with ADMIN")
def set_acl(t, s):
    with s.client() as c:
        root = area(c)
        c.must("set", root, b"1")
        before = c.must("exists", root)
        t.eq(c.err("set_acl", root, acl_world(ALL), 1), BADVERSION,
             "the data's version is not asked")
        t.eq(c.err("set_acl", root, acl_world(ALL), -2), BADVERSION, "-2")
        stat = c.must("set_acl", root, acl_world(ALL), 0)
        t.eq(stat, before._replace(aversion=1), "only aversion moves")
        t.eq(c.must("get_acl", root), (acl_world(ALL), stat), "getACL")
        t.eq(c.err("set_acl", root + "/none"), NONODE, "a missing node")
        t.eq(c.err("set_acl", root + "/none", []), INVALIDACL, "the ACL comes before existence")
        t.eq(c.must("set_acl", root, acl_world(ALL - ADMIN), -1).aversion, 2, "-1 means any")
        t.eq(c.err("set_acl", root, acl_world(ALL), 99), NOAUTH, "ADMIN comes before the version")
        t.eq(c.err("set_acl", root, acl_world(ALL)), NOAUTH, "ADMIN is gone for good")
        t.eq(c.err("get_acl", root), OK, "READ is enough for getACL")


@rule("ACL: entries keep their order, exact duplicates are dropped, unknown bits are kept")
def acl_entries(t, s):
    with s.client() as c:
        root = area(c)
        acl = [(READ, "world", "anyone"), (WRITE, "world", "anyone"), (ADMIN, "world", "anyone")]
        c.must("create", root + "/o", b"", acl)
        t.eq(c.must("get_acl", root + "/o")[0], acl, "the order")
        t.eq(c.err("set", root + "/o"), OK, "permissions of several entries add up")
        t.eq(c.err("create", root + "/o/x"), NOAUTH, "and no more")
        c.must("create", root + "/d", b"", [acl[0], acl[2], acl[0], acl[2]])
        t.eq(c.must("get_acl", root + "/d")[0], [acl[0], acl[2]], "duplicates")
        c.must("create", root + "/b", b"", acl_world(ALL | 64))
        t.eq(c.must("get_acl", root + "/b")[0], acl_world(ALL | 64), "an unknown bit")


@rule("ACL: which permission is asked for what")
def acl_permissions(t, s):
    with s.client() as c:
        root = area(c)
        for bit, name in ((READ, "read"), (WRITE, "write"), (CREATE, "create"), (DELETE, "delete"),
                          (ADMIN, "admin")):
            path = "%s/%s" % (root, name)
            c.must("create", path)
            c.must("create", path + "/child")
            c.must("set_acl", path, acl_world(bit))
            for op, args, needed in (("get", (path,), READ), ("children", (path,), READ),
                                     ("children2", (path,), READ),
                                     ("get_acl", (path,), READ | ADMIN), ("set", (path,), WRITE),
                                     ("create", (path + "/new",), CREATE),
                                     ("delete", (path + "/child",), DELETE),
                                     ("set_acl", (path, acl_world(bit)), ADMIN),
                                     ("exists", (path,), ALL)):
                t.eq(c.err(op, *args), OK if bit & needed else NOAUTH, "%s with %s only"
                     % (op, name))
        c.must("create", root + "/nothing", b"", acl_world(0))
        for op in ("get", "children", "get_acl", "set"):
            t.eq(c.err(op, root + "/nothing"), NOAUTH, "%s with no permission" % op)
        t.eq(c.err("exists", root + "/nothing"), OK, "exists needs none")


@rule("check: existence, READ, version")
def check(t, s):
    with s.client() as c:
        root = area(c)
        c.must("set", root, b"1")
        c.must("create", root + "/hidden", b"", acl_world(ALL - READ))
        for path, version, err in ((root, 1, OK), (root, -1, OK), (root, 0, BADVERSION),
                                   (root, -2, BADVERSION),
                                   (root + "/none", -1, NONODE), (root + "/none", 4, NONODE),
                                   (root + "/hidden", -1, NOAUTH), (root + "/hidden", 7, NOAUTH)):
            want = [(13, None)] if err == OK else [(-1, err)]
            t.eq(c.must("multi", [("check", path, version)]), want, "check %s %d in a multi"
                 % (path, version))
            if t.real and err == OK:
                continue  # the reference never answers it, and hangs the connection
            reply = c.call("check", path, version)
            t.eq((reply.err, reply.body), (err, b""), "check %s %d alone" % (path, version))


@rule("reads: answers")
def reads(t, s):
    with s.client() as c:
        root = area(c)
        c.must("set", root, b"data")
        for i in range(20):
            c.must("create", "%s/k%d" % (root, i))
        names = sorted("k%d" % i for i in range(20))
        stat = c.must("exists", root)
        t.eq(c.must("get", root), (b"data", stat), "getData")
        t.eq(sorted(c.must("children", root)), names, "getChildren")
        children, stat2 = c.must("children2", root)
        t.eq((sorted(children), stat2), (names, stat), "getChildren2")
        t.eq(c.must("get_acl", root), (acl_world(ALL), stat), "getACL")
        t.eq((stat.num_children, stat.cversion), (20, 20), "counters")
        t.eq(c.must("children", root + "/k1"), [], "no children")
        for path in (root, root + "/none", "", "odd//", "/\x01"):
            reply = c.call("sync", path)
            t.eq((reply.err, reply.value), (OK, path), "sync answers the path as it came: %r"
                 % path)


@rule("sync: a read behind it shows what was acknowledged to anyone before")
def sync(t, s):
    with s.client() as w, s.client() as r:
        root = area(w)
        wrong = 0
        for i in range(150):
            version = w.must("set", root, b"%d" % i).version
            r.send_bytes(r.encode("sync", root) + r.encode("get", root))
            r.recv()
            wrong += r.recv().value[1].version < version
        t.eq(wrong, 0, "stale reads among 150")


@rule("Stat: what moves at each change")
def stat_moves(t, s):
    with s.client() as c, s.client() as other:
        root = area(c)
        node = root + "/n"
        made = c.call("create", node, b"123")
        first = c.must("exists", node)
        top = c.must("exists", root)
        t.eq((top.cversion, top.pzxid, top.num_children, top.version), (1, made.zxid, 1, 0),
             "the parent after create")
        t.eq((top.mzxid, top.mtime), (top.czxid, top.ctime), "its mzxid and mtime stay")
        done = c.call("set", node, b"12345")
        now = c.must("exists", node)
        t.eq(now, first._replace(version=1, mzxid=done.zxid, mtime=now.mtime, data_length=5), "set")
        t.ok(now.mtime >= first.mtime, "mtime")
        t.eq(c.must("exists", root), top, "the parent of a set")
        c.must("set_acl", node)
        t.eq(c.must("exists", node), now._replace(aversion=1), "setACL")
        kid = c.call("create", node + "/k")
        grown = c.must("exists", node)
        t.eq(grown, now._replace(aversion=1, cversion=1, pzxid=kid.zxid, num_children=1),
             "a child created")
        t.eq(c.must("exists", root), top, "the grandparent")
        gone = c.call("delete", node + "/k")
        t.eq(c.must("exists", node), grown._replace(cversion=2, pzxid=gone.zxid, num_children=0),
             "a child deleted")
        for i in range(3):
            other.must("create", "%s/e%d" % (node, i), b"", flags=EPHEMERAL)
        t.eq(c.must("exists", node).cversion, 5, "three ephemerals")
        closed = other.close_session()
        t.eq(c.must("exists", node), grown._replace(cversion=8, pzxid=closed.zxid, num_children=0),
             "a session's end")
        both = c.call("multi",
                      [("create", node + "/x"), ("create", node + "/y"), ("set", node, b"")])
        stats = [c.must("exists", node + tail) for tail in ("/x", "/y", "")]
        t.eq([stats[0].czxid, stats[1].czxid, stats[2].mzxid, stats[2].pzxid], [both.zxid] * 4,
             "a multi has one zxid")
        t.eq(stats[2].cversion, 10, "cversion after a multi of two creates")
