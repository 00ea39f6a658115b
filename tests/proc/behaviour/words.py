"""The four-letter words in the formats that monitoring agents parse."""

import re

import zkwire
from behaviour import area, rule
from zkwire import EPHEMERAL


def fields(text, separator):
    return dict(line.split(separator, 1) for line in text.splitlines() if separator in line)


@rule("words: ruok and isro")
def ruok(t, s):
    t.eq(s.word("ruok"), "imok", "ruok")
    t.eq(s.word("ruok", b""), "imok", "ruok without a newline")
    t.eq(s.word("ruok", b"\r\nmore"), "imok", "ruok with something behind it")
    t.eq(s.word("isro").strip(), "rw", "isro")


@rule("words: srvr")
def srvr(t, s):
    with s.client() as c:
        zxid = c.call("create", area(c) + "/x").zxid
        lines = s.word("srvr").splitlines()
        keys = [line.split(":", 1)[0] for line in lines if ":" in line]
        t.eq(keys,
             ["Zookeeper version", "Latency min/avg/max", "Received", "Sent", "Connections",
              "Outstanding", "Zxid",
                    "Mode", "Node count"], "keys, in order")
        t.ok(re.match(r"Zookeeper version: \d+\.\d+\.\d+-", lines[0]),
             "the version has a '-' behind it: %r" % lines[0])
        value = fields("\n".join(lines), ": ")
        t.ok(re.fullmatch(r"\d+/\d+(\.\d+)?/\d+", value["Latency min/avg/max"]), "latency: %r"
             % value)
        t.ok(re.fullmatch(r"0x[0-9a-f]+", value["Zxid"]) and int(value["Zxid"], 16) >= zxid,
             "zxid %(Zxid)s" % value)
        t.eq(value["Mode"], "standalone", "mode")
        for key in ("Received", "Sent", "Connections", "Outstanding", "Node count"):
            t.ok(value[key].isdigit(), "%s: %s" % (key, value[key]))
        t.ok(int(value["Node count"]) >= 6 and int(value["Connections"]) >= 1
             and int(value["Received"]) > 0, "counts")


@rule("words: stat as zktop reads it")
def stat(t, s):
    with s.client() as c:
        c.must("exists", "/")
        text = s.word("stat")
        lines = text.split("\n")
        t.ok(re.match(r".*: \d+\.\d+\.\d+-", lines[0]), "the version: %r" % lines[0])
        t.eq(lines[1], "Clients:", "second line")
        blank = lines.index("")
        clients = lines[2:blank]
        pattern = r" /[0-9a-f.:\[\]]+:\d+\[\d+\]\(queued=\d+,recved=\d+,sent=\d+\)"
        for line in clients:
            t.ok(re.fullmatch(pattern, line), "a client: %r" % line)
        own = "%s:%d" % c.sock.getsockname()
        t.ok(any("/" + own + "[1]" in line for line in clients), "this connection is among them")
        for line in lines[blank + 1:]:
            t.ok(line == "" or line.count(":") == 1, "one colon: %r" % line)
        t.ok({"Mode", "Zxid", "Node count",
              "Outstanding"} <= set(fields("\n".join(lines[blank:]), ":")), "keys")


@rule("words: mntr")
def mntr(t, s):
    with s.client() as c, s.client() as other:
        root = area(c)
        c.must("create", root + "/e", b"", flags=EPHEMERAL)
        c.must("create", root + "/d", b"x" * 1000)
        c.must("get", root, True)
        text = s.word("mntr")
        for line in text.splitlines():
            t.ok(re.match(r"\S+\t", line) or not line, "a key, a tab: %r" % line)
        value = fields(text, "\t")
        wanted = ("version server_state avg_latency min_latency max_latency packets_received "
                  "packets_sent num_alive_connections outstanding_requests znode_count watch_count "
                  "ephemerals_count approximate_data_size open_file_descriptor_count "
                  "max_file_descriptor_count").split()
        for key in wanted:
            t.ok("zk_" + key in value, "zk_%s" % key)
        t.ok(re.match(r"\d+\.\d+\.\d+-", value["zk_version"]), "version: %(zk_version)s" % value)
        t.eq(value["zk_server_state"], "standalone", "state")
        numbers = {key: float(value["zk_" + key]) for key in wanted[2:]}
        for key, least in (("num_alive_connections", 2), ("znode_count", 6), ("watch_count", 1),
                           ("ephemerals_count", 1),
                           ("approximate_data_size", 1000), ("open_file_descriptor_count", 3),
                           ("packets_received", 4)):
            t.ok(numbers[key] >= least, "zk_%s is at least %d: %r" % (key, least, numbers[key]))
        t.ok(numbers["max_file_descriptor_count"] >= numbers["open_file_descriptor_count"],
             "descriptors")
        count = int(numbers["znode_count"])
        other.must("create", root + "/more")
        t.eq(int(fields(s.word("mntr"), "\t")["zk_znode_count"]), count + 1, "one node more")
        other.must("delete", root + "/more")
        t.eq(int(fields(s.word("mntr"), "\t")["zk_znode_count"]), count, "and less")
        for key in ("zk_synced_followers", "zk_learners", "zk_pending_syncs"):
            t.ok(key not in value, "%s is the leader's alone" % key)


@rule("words: conf")
def conf(t, s):
    value = fields(s.word("conf"), "=")
    t.eq(value.get("clientPort"), str(s.port), "clientPort")
    for key in ("dataDir", "dataLogDir", "tickTime", "maxClientCnxns", "minSessionTimeout",
                "maxSessionTimeout", "serverId"):
        t.ok(key in value, key)
    tick = int(value["tickTime"])
    t.ok(int(value["minSessionTimeout"]) >= tick and int(value["maxSessionTimeout"]) >= 2 * tick,
         "timeouts: %r" % value)


@rule("words: cons")
def cons(t, s):
    with s.client() as c:
        c.call("exists", "/")
        own = "/%s:%d" % c.sock.getsockname()
        line = next(line for line in s.word("cons").splitlines() if own in line)
        pattern = (r" ?/\S+\[\d+\]\(queued=\d+,recved=\d+,sent=\d+,sid=0x[0-9a-f]+,lop=\w+,"
                   r"est=\d+,to=\d+,lcxid=0x[0-9a-f]+,lzxid=0x[0-9a-f]+,lresp=\d+,llat=\d+,"
                   r"minlat=\d+,avglat=\d+,maxlat=\d+\)")
        t.ok(re.fullmatch(pattern, line), "a connection's line: %r" % line)
        t.eq(int(re.search(r"sid=0x([0-9a-f]+)", line).group(1), 16), c.session.id & (1 << 64) - 1,
             "its session")
        t.eq(int(re.search(r"to=(\d+)", line).group(1)), c.session.timeout, "its timeout")


@rule("words: envi as kazoo's server_version reads it")
def envi(t, s):
    lines = s.word("envi").splitlines()
    t.eq(lines[0], "Environment:", "first line")
    version = fields("\n".join(lines), "=").get("zookeeper.version", "")
    match = re.match(r"(\d+)\.(\d+)\.(\d+)-", version)
    t.ok(match, "zookeeper.version: %r" % version)
    t.ok(match and tuple(map(int, match.groups())) >= (3, 5, 0),
         "3.5 or newer, so that clients use what there is")


@rule("words: wchs and dump")
def wchs_dump(t, s):
    with s.client() as c:
        root = area(c)
        c.must("get", root, True)
        c.must("children", root, True)
        c.must("create", root + "/e", b"", flags=EPHEMERAL)
        lines = s.word("wchs").splitlines()
        t.ok(re.fullmatch(r"\d+ connections watching \d+ paths", lines[0]), "wchs: %r" % lines)
        t.ok(re.fullmatch(r"Total watches:\d+", lines[1]), "wchs: %r" % lines)
        t.ok(int(lines[0].split()[0]) >= 1 and int(lines[1].split(":")[1]) >= 1, "counts")
        text = s.word("dump")
        match = re.search(r"Sessions with Ephemerals \((\d+)\):", text)
        t.ok(match and int(match.group(1)) >= 1, "dump: the number of sessions")
        block = text[match.end():] if match else ""
        own = "0x%x:\n\t%s/e\n" % (c.session.id & (1 << 64) - 1, root)
        t.ok(own in block, "dump: this session's ephemeral, %r in %r" % (own, block[:300]))


@rule("words: an unknown one is answered with a line at most, and only at the start")
def others(t, s):
    for word in ("xxxx", "RUOK", "qqqq"):
        text = s.word(word)
        t.ok(text.count("\n") <= 1, "%s: %r" % (word, text))
    with s.client() as c:
        c.send_bytes(b"ruok")  # read as the length of a frame here
        t.eq(c.wait_closed(), [], "not recognised later in a connection")
    with s.client(shake=False) as c:
        for byte in b"ruok":
            c.send_bytes(bytes([byte]))
        c.sock.settimeout(zkwire.PATIENCE)
        t.eq(c.sock.recv(100), b"imok", "byte by byte")
        t.eq(c.sock.recv(100), b"", "then closed")


@rule("words: the whitelist", own_server=True)
def whitelist(t):
    with t.server({"4lw.commands.whitelist": "ruok, srvr"}) as s:
        t.eq(s.word("ruok"), "imok", "an enabled word")
        t.ok("Mode:" in s.word("srvr"), "another")
        for word in ("mntr", "cons", "dump"):
            text = s.word(word)
            t.ok(word in text and "whitelist" in text and len(text.splitlines()) == 1,
                 "%s: one line: %r" % (word, text))
