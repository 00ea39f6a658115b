#!/usr/bin/env python3
"""Drives zkCli.sh, the shell of ZooKeeper's Java client: one process, a few dozen commands.

Every command is followed by a look at a node that does not exist, whose error tells where its
output ends.
"""

import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path[:0] = [os.path.join(os.path.dirname(HERE), "lib")]

import pandotest  # noqa: E402

ZKCLI = "/usr/share/zookeeper/bin/zkCli.sh"
PATIENCE = 240

STAT = (r"cZxid = 0x[0-9a-f]+\nctime = .*\nmZxid = 0x[0-9a-f]+\nmtime = .*\n"
        r"pZxid = 0x[0-9a-f]+\ncversion = {cversion}\ndataVersion = {version}\n"
        r"aclVersion = {aversion}\nephemeralOwner = {owner}\ndataLength = {length}\n"
        r"numChildren = {children}")


def stat(version=0, cversion=0, aversion=0, length=0, children=0, owner="0x0"):
    return STAT.format(version=version, cversion=cversion, aversion=aversion, length=length,
                       children=children, owner=owner)


OPEN = r"'world,'anyone\n: cdrwa"

# (command, pattern of its whole output), blank lines and watch events left out.
COMMANDS = [
    ("ls /", r"\[zookeeper\]"),
    ("create /a one", "Created /a"),
    ("create /a again", "Node already exists: /a"),
    ("create -s /a/s- x", "Created /a/s-0000000000"),
    ("create -s /a/s- y", "Created /a/s-0000000001"),
    ("create -e /e z", "Created /e"),
    ("create -s -e /e- z", "Created /e-0000000002"),
    ("create /e/child", "Ephemerals cannot have children: /e/child"),
    ("create /none/child", "Node does not exist: /none/child"),
    ("create /null", "Created /null"),
    ("get /null", "null"),
    ("ls /", r"\[a, e, e-0000000002, null, zookeeper\]"),
    ("ls -s /a", r"\[s-0000000000, s-0000000001\]\n?" + stat(cversion=2, length=3, children=2)),
    ("ls -R /a", "/a\n/a/s-0000000000\n/a/s-0000000001"),
    ("ls -R /", "(?s)/\n/a\n.*/zookeeper/config\n/zookeeper/quota"),
    ("get /a", "one"),
    ("get -s /a", "one\n" + stat(cversion=2, length=3, children=2)),
    ("get /none", "Node does not exist: /none"),
    ("set /a two", ""),
    ("set -s /a three", stat(version=2, cversion=2, length=5, children=2)),
    ("set -v 2 /a four", ""),
    ("set -v 77 /a five", "version No is not valid : /a"),
    ("get /a", "four"),
    ("stat /a", stat(version=3, cversion=2, length=4, children=2)),
    ("stat /e", stat(length=1, owner="0x[0-9a-f]+")),
    ("stat /none", "Node does not exist: /none"),
    ("delete /a", "Node not empty: /a"),
    ("delete -v 5 /e", "version No is not valid : /e"),
    ("delete -v 0 /e", ""),
    ("delete /e", "Node does not exist: /e"),
    ("getAcl /a", OPEN),
    ("getAcl -s /a", OPEN + "\n" + stat(version=3, cversion=2, length=4, children=2)),
    ("setAcl /a world:anyone:cdrwa", ""),
    ("setAcl -s -v 1 /a world:anyone:crwa",
     stat(version=3, cversion=2, aversion=2, length=4, children=2)),
    ("getAcl /a", r"'world,'anyone\n: crwa"),
    ("delete /a/s-0000000000", "Insufficient permission : /a/s-0000000000"),
    ("setAcl -R /a world:anyone:cdrwa", ""),
    ("getAcl /a/s-0000000001", OPEN),
    ("sync /a", "Sync is OK"),
    ("get -w /a", "four"),
    ("set /a watched", ""),
    ("ls -w /a", r"\[s-0000000000, s-0000000001\]"),
    ("create /a/new n", "Created /a/new"),
    ("stat -w /a/new", stat(length=1)),
    ("delete /a/new", ""),
    ("create /big " + "x" * 5000, "Created /big"),
    ("get /big", "x{5000}"),
    ("create /deep", "Created /deep"),
    ("create /deep/er", "Created /deep/er"),
    ("create /deep/er/still", "Created /deep/er/still"),
    ("deleteall /deep", ""),
    ("ls /deep", "Node does not exist: /deep"),
    ("deleteall /a", ""),
    ("ls /", r"\[big, e-0000000002, null, zookeeper\]"),
]

AFTER_CLOSE = [
    ("ls /", r"\[big, null, zookeeper\]"),
    ("create -e /mine", "Created /mine"),
    ("get /big", "x{5000}"),
]

EVENTS = ["NodeDataChanged path:/a", "NodeChildrenChanged path:/a", "NodeDeleted path:/a/new"]


def clean(text):
    """Without blank lines and what the client says about its watches and its connection."""
    lines = [line for line in text.split("\n") if line.strip()]
    return "\n".join(line for line in lines
                     if not line.startswith(("WATCHER::", "WatchedEvent ", "SLF4J:")))


def zkcli(t):
    with t.server({"tickTime": 2000}) as server:
        commands = COMMANDS + [("close", None), ("connect " + server.hosts, None)] + AFTER_CLOSE
        script = ""
        for n, (command, want) in enumerate(commands):
            script += command + "\n" + ("ls /end-of-%d\n" % n if want is not None else "")
        done = subprocess.run([ZKCLI, "-server", server.hosts],
                              input=(script + "ls /\nquit\n").encode(),
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE,
                              check=False,
                              env=dict(os.environ, ZOO_LOG_DIR=server.folder), cwd=server.folder)
        text = done.stdout.decode("utf-8", "replace")
        t.eq(done.returncode, 0, "status, which is that of the last command but quit")
        at = text.find("state:SyncConnected type:None")
        if not t.ok(at >= 0, "connected: %s" % text[-2000:]):
            return
        rest = text[text.index("\n", at) + 1:]
        for n, (command, want) in enumerate(commands):
            if want is None:
                continue
            mark = "Node does not exist: /end-of-%d\n" % n
            if not t.ok(mark in rest, "%s: answered at all; what came last:\n%s"
                        % (command, rest[-1500:])):
                return
            got, rest = rest.split(mark, 1)
            got = clean(got)
            t.ok(re.fullmatch(want, got), "%s: expected %r, got %r"
                 % (command[:60], want[:300], got[:600]))
        for event in EVENTS:
            t.ok("WatchedEvent state:SyncConnected type:" + event in text, "the event %s" % event)
        with server.client() as client:
            t.eq(sorted(client.must("children", "/")), ["big", "null", "zookeeper"],
                 "quit took the ephemeral")


def main():
    options, server_class = pandotest.arguments(__doc__)
    if not os.access(ZKCLI, os.X_OK) or pandotest.ZooKeeper.missing():
        pandotest.skip("zkCli.sh is missing (package zookeeper)")
    runner = pandotest.Runner(options, server_class)
    runner.run("zkCli.sh", zkcli)
    runner.finish()


if __name__ == "__main__":
    main()
