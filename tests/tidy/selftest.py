"""Bad samples that each rule of the tidy test has to catch, and good ones that it has to leave alone."""
import os
import subprocess
import tempfile

import layers
import rules

TABLE = '''static const struct run_conf_key table[] = {
	USED("dataDir", NULL, PATH, data_dir, 0, 0, "pando-data", "folder"),
	USED("jute.maxbuffer", "oldName other", BYTES, jute, 1024, 128 << 20, "1048575", "largest"),
	WORD("logLevel", log_level, "info", "error|warn", "lines"),
	IDLE("nio.*", NULL, NULL, JAVA "; write ioThreads"),
	NOT("ssl.*", NULL, NULL, NO_TLS),
	{ .name = "server.N",
		.text = "servers" },
};
'''
PAGE = "\n".join(".It Cm " + k for k in
                 ("dataDir", "jute.maxbuffer", "logLevel", "nio.*", "ssl.*", "server.N")) + "\nAlso oldName, other.\n"
WORDS = '''put_metric(out, "zk_uptime", 1); rt_buf_fmt(out, "zk_version\\t%s\\nzk_server_state\\tx\\n");
static const struct word words[] = { { "ruok", WORD_PLAIN, false, p }, { "stat", WORD_GATHER, true, p } };'''
WORDS_PAGE = "ruok stat zk_uptime zk_version zk_server_state"
HEADER = "#ifndef PANDO_X_H\n#define PANDO_X_H\n%s\n#endif\n"
LONG = "static int f(int a)\n{\n" + "\ta++;\n" * 80 + "}\n"

# rule, its arguments, whether it has to find something
SAMPLES = [
    (rules.includes, ("daemon/state/a.c", '#include <stdio.h>\n'), True),
    (rules.includes, ("daemon/state/a.c", '#include <time.h>\n'), True),
    (rules.includes, ("daemon/state/a.c", '#  include "daemon/raft/raft.h"\n'), True),
    (rules.includes, ("daemon/server/a.c", '#include "daemon/state/state.h"\n'), True),
    (rules.includes, ("daemon/server/a.c", '#include "daemon/state/view.h"\n'), False),
    (rules.includes, ("daemon/raft/a.h", '#include "schema/wire_gen.h"\n'), True),
    (rules.includes, ("daemon/node/a.c", '#include "daemon/state/state_int.h"\n'), True),
    (rules.includes, ("daemon/state/a.c", '#include "daemon/state/state_int.h"\n'), False),
    (rules.includes, ("daemon/store/a.c", '#include "daemon/state/state.h"\n'), True),
    (rules.includes, ("daemon/transport/a.c", '#include <pthread.h>\n'), True),
    (rules.includes, ("daemon/transport/a.c", '#include <event2/event.h>\n'), False),
    (rules.includes, ("schema/runtime/a.h", '#include "schema/errors_gen.h"\n'), True),
    (rules.includes, ("libclient/loop/a.c", '#include "daemon/base/feed.h"\n'), True),
    (rules.includes, ("recipes/a.c", '#include "schema/runtime/rt_mem.h"\n'), True),
    (rules.includes, ("daemon/base/a.c", '/* #include <stdio.h> */\n#include <stdint.h>\n'), False),
    (rules.banned_calls, ("daemon/state/a.c", "void f(void) { strcpy(a, b); }"), True),
    (rules.banned_calls, ("daemon/state/a.c", "x = atoi (s);"), True),
    (rules.banned_calls, ("daemon/run/run_x.c", "usleep(200);"), True),
    (rules.banned_calls, ("daemon/run/run_x.c", "printf(1);"), True),
    (rules.banned_calls, ("daemon/run/run_main.c", "printf(1);"), False),
    (rules.banned_calls, ("daemon/state/a.c", 'x = "strcpy(a)"; /* strcpy(b) */ my_strcpy(c); p->rand(d);'), False),
    (rules.left_over, ("a.c", "/* TO" "DO: later */"), True),
    (rules.left_over, ("a.py", "# FIX" "ME"), True),
    (rules.left_over, ("a.c", "mkdtemp(XXXXXX)"), False),
    (rules.workplace, ("a.md", "see issue 12"), True),
    (rules.workplace, ("a.c", "/* Issue #3 */"), True),
    (rules.workplace, ("a.c", "/* session 4 of this week */"), True),
    (rules.workplace, ("a.c", 'open("/work/main/x")'), True),
    (rules.workplace, ("a.py", "open('/tmp/x')"), True),
    (rules.workplace, ("a.md", "the issue is that the session of a client ended; $TMPDIR/tmp/x"), False),
    (rules.sizes, ("a.c", "x\n" * 1001), True),
    (rules.sizes, ("a.c", "x\n" * 1000), False),
    (rules.sizes, ("a.c", "\t" * 14 + "x" * 9 + "\n"), True),
    (rules.sizes, ("a.c", "\t" * 14 + "x" * 8 + "\n"), False),
    (rules.function_sizes, ("a.c", LONG), True),
    (rules.function_sizes, ("a.c", LONG.replace("\ta++;\n" * 20, "", 1)), False),
    (rules.guard, ("a.h", "int x;\n"), True),
    (rules.guard, ("a.h", "#ifndef PANDO_A_H\n#define PANDO_B_H\n#endif\n"), True),
    (rules.guard, ("a.h", HEADER % "int x;"), False),
    (rules.contracts, ("daemon/a.h", HEADER % "\nint thing_do(int a);\n"), True),
    (rules.contracts, ("daemon/a.h", HEADER % "\nstruct thing *thing_get(struct thing *t,\n\tint a);\n"), True),
    (rules.contracts, ("daemon/a.h", HEADER % "/* Does. */\nint thing_do(int a);\nint thing_undo(int a);\n"), False),
    (rules.contracts, ("daemon/a.h", HEADER % "/* One. */\nint thing_do(int a);\n\nint thing_undo(int a);\n"), True),
    (rules.contracts, ("daemon/a.h", HEADER % "int thing_do(int a); /* does */\n"), False),
    (rules.contracts, ("daemon/a.h", HEADER % "\nvoid thing_free(struct thing *t);\n"), False),
    (rules.contracts, ("daemon/a.h", HEADER % "\nstatic inline int f(int a)\n{\n\treturn g(a);\n}\n"), False),
    (rules.symbols, ("rt", {"printf"}, {"rt": set()}, {}), True),
    (rules.symbols, ("base", {"pthread_create"}, {}, {}), True),
    (rules.symbols, ("raft", {"state_find"}, {"state": {"state_find"}}, {}), True),
    (rules.symbols, ("server", {"state_apply"}, {"state": {"state_apply"}},
                     {("server", "state"): "int state_find(int);"}), True),
    (rules.symbols, ("server", {"state_find", "memcpy", "__asan_load8"}, {"state": {"state_find"}},
                     {("server", "state"): "int state_find(int);"}), False),
    (rules.options, ("  -c, --config FILE\n", "p.8", ".It Fl c"), True),
    (rules.options, ("  -c, --config FILE\n", "p.8", ".It Fl Fl config"), True),
    (rules.options, ("  -c, --config FILE\n", "p.8", ".It Fl c , Fl Fl config Ar FILE"), False),
    (rules.keys, (TABLE, "p.5", PAGE), False),
    (rules.keys, (TABLE, "p.5", PAGE.replace("logLevel", "logLevels")), True),
    (rules.keys, (TABLE, "p.5", PAGE.replace("other", "")), True),
    (rules.keys, (TABLE, "p.5", PAGE.replace(".It Cm ssl.*\n", "")), True),
    (rules.keys, (TABLE, "p.5", PAGE.replace(".It Cm server.N\n", "")), True),
    (rules.keys, (TABLE, "p.5", PAGE + ".It Cm gone\n"), True),
    (rules.limits, ("l.h", "/* Key jute.maxbuffer: x. */\n#define LIMIT_FRAME 1048575u\n", TABLE, "p.5", PAGE), False),
    (rules.limits, ("l.h", "/* Key jute.maxbuffer: x. */\n#define LIMIT_FRAME (1u << 20)\n", TABLE, "p.5", PAGE), True),
    (rules.limits, ("l.h", "/* Key no.such: x. */\n#define LIMIT_FRAME 1u\n", TABLE, "p.5", PAGE), True),
    (rules.words_and_metrics, (WORDS, "p.8", WORDS_PAGE), False),
    (rules.words_and_metrics, (WORDS, "p.8", WORDS_PAGE.replace("stat ", "")), True),
    (rules.words_and_metrics, (WORDS, "p.8", WORDS_PAGE.replace("zk_uptime", "zk_uptimes")), True),
    (rules.words_and_metrics, (WORDS, "p.8", WORDS_PAGE.replace("zk_server_state", "")), True),
]


def missed(number, rule, expected, found):
    return "tests/tidy/selftest.py", 1, "self-test", "sample %d of rule %s: %s; mend the rule" % (
        number, rule, "not found" if expected else "found without reason: %s" % (found[0],))


def run(cc, compiles_alone, nm):
    for number, (rule, args, expected) in enumerate(SAMPLES):
        found = list(rule(*args))
        if bool(found) != expected:
            yield missed(number, rule.__name__, expected, found)
    with tempfile.TemporaryDirectory() as folder:
        yield from run_tools(cc, compiles_alone, nm, folder)


def write(folder, name, text):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        file.write(text)


def run_tools(cc, compiles_alone, nm, folder):
    """The same with a compiler and nm: a header that leans on another, a library that prints."""
    write(folder, "bad.h", HEADER % "extern uint32_t number;")
    write(folder, "good.h", HEADER % "#include <stdint.h>\nextern uint32_t number;")
    for name, expected in (("bad.h", True), ("good.h", False)):
        found = compiles_alone(cc, folder, folder, name)
        if bool(found) != expected:
            yield missed(-1, "compiles_alone", expected, found)
    write(folder, "a.c", "int printf(const char *, ...);\nint rt_say(int n);\n"
                         "int rt_say(int n) { return printf(\"%d\\n\", n) + rt_say(n - 1); }\n")
    subprocess.run(cc + ["-c", "-o", os.path.join(folder, "a.o"), os.path.join(folder, "a.c")], check=True)
    archive = os.path.join(folder, "libpando_rt.a")
    subprocess.run(["ar", "rc", archive, os.path.join(folder, "a.o")], check=True)
    undefined, defined = nm(archive)
    found = list(rules.symbols("rt", undefined, {"rt": defined}, {}))
    if len(found) != 1 or "printf" not in found[0][3] or "rt" not in layers.PURE_ARCHIVES:
        yield missed(-2, "nm", True, found)
