"""Which paths are refused, where and how."""

import zkwire
from behaviour import area, rule
from zkwire import BADARGUMENTS, NODEEXISTS, NONODE, OK, SEQUENTIAL


def bad_characters():
    """One character of each refused range's ends, and the neighbours that are fine."""
    bad = [0x00, 0x01, 0x1f, 0x7f, 0x80, 0x9f, 0xe000, 0xf8ff, 0xfff0, 0xffff, 0xfffd, 0x10000,
           0x1f600]
    good = [0x20, 0x7e, 0xa0, 0xd7ff, 0xf900, 0xffef, 0x20ac, 0xe9, 0x4e2d]
    return [chr(code) for code in bad], [chr(code) for code in good]


@rule("paths: what create, set and setACL refuse")
def refused(t, s):
    with s.client() as c:
        root = area(c)
        bad, _ = bad_characters()
        paths = [root + "/x" + char for char in bad]
        paths += [root + "/" + char + "x" for char in bad]
        paths += [root + "/", root + "/.", root + "/..", root + "/./x", root + "/../x", "/.",
                  "/..", "relative", "x",
                  root[1:] + "/x"]
        raw = [root.encode() + b"/\xff\xfe", root.encode() + b"/\xc3", root.encode()
               + b"/\xed\xa0\x80"]
        for path in paths + raw:
            t.among(c.err("create", path), (BADARGUMENTS, NONODE), "create %r" % path)
            t.eq(c.err("set", path), BADARGUMENTS, "set %r" % path)
            t.eq(c.err("set_acl", path), BADARGUMENTS, "setACL %r" % path)
        for path in ("", "//", root + "//x", "//" + root[1:], root + "//"):
            t.among(c.err("create", path), (BADARGUMENTS, NONODE), "create %r" % path)
            t.eq(c.err("set", path), BADARGUMENTS, "set %r" % path)
            t.eq(c.err("set_acl", path), BADARGUMENTS, "setACL %r" % path)
        for char in bad:
            t.eq(c.err("create", root + "/x" + char), BADARGUMENTS,
                 "create with %#x below what exists" % ord(char))
        for path in (root + "/.", root + "/..", root + "/"):
            t.eq(c.err("create", path), BADARGUMENTS, "create %r below what exists" % path)
        t.eq(c.must("children", root), [], "nothing was made")


@rule("paths: what is fine")
def fine(t, s):
    with s.client() as c:
        root = area(c)
        _, good = bad_characters()
        names = ["...", ".a", "a.", "..a", "a..b", " ", "a b", ":", "a:b", "-", "#", "%2F", "\\",
                 "*", "a" * 1500]
        names += [char + "n" for char in good]
        for name in names:
            path = root + "/" + name
            t.eq(c.call("create", path, b"d").value, path, "create %r" % name[:20])
            t.eq(c.err("set", path, b"e"), OK, "set %r" % name[:20])
            t.eq(c.call("get", path).value[0], b"e", "get %r" % name[:20])
        t.eq(sorted(c.must("children", root)), sorted(names), "all of them listed")
        for name in names:
            t.eq(c.err("delete", root + "/" + name), OK, "delete %r" % name[:20])


@rule("paths: a hundred levels")
def deep(t, s):
    with s.client() as c:
        root = area(c)
        path, out = root, b""
        for level in range(100):
            path += "/l%d" % level
            out += c.encode("create", path)
        c.send_bytes(out)
        t.eq([c.recv().err for _ in range(100)], [OK] * 100, "creates")
        t.eq(c.call("get", path).err, OK, "the deepest")
        t.eq(c.must("children", path.rsplit("/", 1)[0]), ["l99"], "its parent's children")
        while path != root:
            c.send("delete", path)
            path = path.rsplit("/", 1)[0]
        t.ok(all(c.recv().err == OK for _ in range(100)), "deletes")


@rule("paths: with a missing prefix NONODE or BADARGUMENTS")
def missing_prefix(t, s):
    with s.client() as c:
        root = area(c)
        for path in (root + "/none//x", root + "/a//b", root + "/none/.", root + "/none/\x01"):
            t.among(c.err("create", path), (NONODE, BADARGUMENTS), "create %r" % path)


@rule("paths: reads and delete of odd paths answer NONODE")
def reads(t, s):
    with s.client() as c:
        root = area(c)
        for path in (root + "/", root + "//x", root + "/.", root + "/..", root + "/\x01",
                     "relative", root + "/x\ue000",
                     root.encode() + b"/\xff"):
            for name in ("exists", "get", "children", "children2", "get_acl"):
                t.eq(c.err(name, path), NONODE, "%s %r" % (name, path))
        for path in (root + "/.", root + "/..", root + "/\x01", root + "/x\ue000"):
            t.eq(c.err("delete", path), NONODE, "delete %r" % path)
        for name in ("exists", "get", "children"):
            t.among(c.err(name, root + "/\x00"), (NONODE, BADARGUMENTS), "%s with a NUL" % name)
        t.eq(c.err("exists", root), OK, "the connection goes on")


@rule("paths: sequential ones are judged with their number")
def sequential(t, s):
    with s.client() as c:
        root = area(c)
        for n, tail in enumerate(("/", "/.", "/..", "/n-", "/...")):
            got = c.call("create", root + tail, b"", flags=SEQUENTIAL)
            t.eq((got.err, got.value), (OK, "%s%s%010d" % (root, tail, n)),
                 "create %r with a number" % tail)
        t.eq(c.err("create", root + "/x\x01", b"", flags=SEQUENTIAL), BADARGUMENTS,
             "a bad character still")
        t.among(c.err("create", root + "//", b"", flags=SEQUENTIAL), (BADARGUMENTS, NONODE),
                "an empty part still")


@rule("paths: create of / is NODEEXISTS")
def create_root(t, s):
    with s.client() as c:
        t.eq(c.err("create", "/"), NODEEXISTS, "create /")
        t.eq(c.call("create", "/", b"", zkwire.OPEN_ACL, SEQUENTIAL).value is not None, True,
             "create / with a number")


@rule("paths: refused within a multi as well")
def in_multi(t, s):
    with s.client() as c:
        root = area(c)
        for path in (root + "/", root + "/.", root + "/\x01"):
            got = c.call("multi", [("create", root + "/ok"), ("create", path)])
            t.eq((got.err, got.value), (OK, [(-1, 0), (-1, BADARGUMENTS)]), "create %r in a multi"
                 % path)
            got = c.call("multi", [("set", path, b"")])
            t.eq((got.err, got.value), (OK, [(-1, BADARGUMENTS)]), "set %r in a multi" % path)
        t.eq(c.must("children", root), [], "nothing was made")
