"""What the tidy test holds the sources against, as data: who may include what, which symbols pure code may
use, and the exceptions, each with its reason. The table of layers is the one of the architecture page."""

# What any code may use: it touches nothing outside of memory.
PURE_HEADERS = {"limits.h", "stdarg.h", "stdbool.h", "stddef.h", "stdint.h", "string.h"}
# The same and <stdlib.h>, for memory and qsort; the symbols are checked besides, so nothing else comes with it.
PURE_HEADERS_AND_STDLIB = PURE_HEADERS | {"stdlib.h"}

FLOOR = ["schema/runtime/", "schema/errors_gen.h"]
WIRE, DISK, PEER = "schema/wire_gen.h", "schema/disk_gen.h", "schema/peer_gen.h"
ANY_SYSTEM = None

# Folder: what it may include of the project (a folder ends in /) beside itself, and of the system. The most
# special folder counts. A name in QUOTES without a folder is looked for beside the file.
LAYERS = {
    "schema/": (FLOOR, PURE_HEADERS),  # kind.h, and what the generator makes
    "schema/runtime/": (["schema/runtime/"], PURE_HEADERS_AND_STDLIB),
    "daemon/base/": (FLOOR, PURE_HEADERS),
    "daemon/raft/": (FLOOR + ["daemon/base/", DISK, PEER], PURE_HEADERS),
    "daemon/state/": (FLOOR + ["daemon/base/", WIRE, DISK], PURE_HEADERS_AND_STDLIB),
    "daemon/server/": (FLOOR + ["daemon/base/", "daemon/state/view.h", WIRE, DISK], PURE_HEADERS),
    "daemon/node/": (
        FLOOR + ["daemon/base/", "daemon/raft/", "daemon/state/", "daemon/server/", WIRE, DISK, PEER],
        PURE_HEADERS,
    ),
    "daemon/store/": (FLOOR + ["daemon/base/", "daemon/raft/raft.h", DISK], ANY_SYSTEM),
    "daemon/transport/": (FLOOR + ["daemon/base/", "daemon/server/srv.h", "daemon/node/node.h"], ANY_SYSTEM),
    "daemon/admin/": (FLOOR + ["daemon/base/", "daemon/node/node.h"], ANY_SYSTEM),
    "daemon/run/": (FLOOR + ["daemon/", WIRE, DISK, PEER, "config.h"], ANY_SYSTEM),
    "libclient/": (["libclient/pando.h"], PURE_HEADERS),
    "libclient/core/": (FLOOR + ["libclient/", WIRE], PURE_HEADERS_AND_STDLIB),
    "libclient/loop/": (FLOOR + ["libclient/"], ANY_SYSTEM),
    "libclient/sync/": (FLOOR + ["libclient/"], ANY_SYSTEM),
    "recipes/": (["pando.h", "libclient/pando.h"], ANY_SYSTEM),
    # the offline inspectors are the one exception to "on pando.h alone"
    "tools/": (["pando.h", "libclient/pando.h", "daemon/store/", "daemon/state/"] + FLOOR + [DISK], ANY_SYSTEM),
}

# Libraries that only some of the folders with ANY_SYSTEM may know: header's beginning, folders.
LIBRARIES = {
    "sqlite3.h": ["daemon/store/", "tools/"],
    "event2/": ["daemon/transport/", "daemon/admin/", "daemon/run/"],
    "openssl/": ["daemon/transport/", "daemon/run/", "libclient/loop/", "libclient/sync/"],
    "jansson.h": ["daemon/admin/", "tools/"],
    "pthread.h": ["daemon/run/", "libclient/sync/"],
    "stdatomic.h": ["daemon/run/", "libclient/sync/"],
}

# X_int.h is for its own folder only. Others that are not a module's face:
PRIVATE_SUFFIX = "_int.h"

# Libraries of pure modules: name of the archive, archives whose symbols it may use.
PURE_ARCHIVES = {
    "rt": [],
    "errors": [],
    "wire": ["rt", "errors"],
    "disk": ["rt", "errors"],
    "base": ["rt"],
    "raft": ["rt", "base", "disk", "errors"],
    "state": ["rt", "base", "wire", "disk", "errors"],
    "server": ["rt", "base", "wire", "disk", "errors", "state"],
    "node": ["rt", "base", "wire", "disk", "errors", "raft", "state", "server"],
}
# Of that archive's symbols only those that this header declares.
FACES = {("server", "state"): "daemon/state/view.h"}

PURE_SYMBOLS = set(
    """memcpy memmove memset memcmp memchr memrchr memmem strlen strnlen strcmp strncmp strchr strcspn strspn
    malloc calloc realloc free qsort bsearch abort __stack_chk_fail _GLOBAL_OFFSET_TABLE_
    bcmp __tls_get_addr""".split()
)
# Compilers put calls of these in; the long ones are those of the sanitizers and of coverage.
PURE_SYMBOL_PREFIXES = ("__asan_", "__ubsan_", "__tsan_", "__sanitizer_", "__sancov_", "__gcov_", "__odr_asan",
                        "__udiv", "__umod", "__div", "__mod", "__mul", "__popcount", "__cpu_", "__llvm_", "__start_",
                        "__stop_")

# What the daemon never calls: a regular expression for the name, and what to take instead.
BANNED_CALLS = {
    "strcpy|stpcpy|strncpy": "memcpy with a checked length, or rt_buf_str",
    "strcat|strncat": "rt_buf_str",
    "sprintf|vsprintf": "rt_buf_fmt",
    "strtok|strtok_r": "strcspn, or rt_reader",
    "gets": "read",
    "atoi|atol|atoll|atof": "a parser that refuses what is no number (run_conf_parse.c)",
    "alloca": "an array of fixed size, or rt_alloc",
    "rand|srand|random|srandom|drand48": "rt_rand (reproducible) or getrandom (secret)",
    "sleep|usleep|nanosleep": "wait for what is to happen: a letter (run_mail.h) or an event",
    "localtime|gmtime|ctime|asctime": "the _r functions",
    "strerror_r|strdup|strndup": "strerror; rt_alloc",
    "setlocale": "nothing: no behaviour depends on a locale",
    "printf|fprintf|vprintf|vfprintf|dprintf|vdprintf|puts|putchar|fputs|fputc|perror|snprintf|vsnprintf":
        "rt_buf_fmt, and run_say.h to tell people",
}
# (file, name): why it may. What stands here without need is reported.
ALLOWED_CALLS = {
    ("daemon/run/run_main.c", "printf"): "--version, --check and the start's one line are standard output",
    ("daemon/run/run_main.c", "fprintf"): "errors before there is a log",
    ("daemon/run/run_main.c", "fputs"): "--help",
    ("daemon/run/run_check.c", "printf"): "what --check-data and --dump-data have to say is standard output",
    ("daemon/run/run_check.c", "putchar"): "likewise",
    ("daemon/run/run_check.c", "fprintf"): "what goes wrong with a dump must not stand in it",
    ("daemon/run/run_say.c", "dprintf"): "one line on the log's own behalf, when it could not be written",
    ("daemon/run/run_log.c", "usleep"): "the disk is full: nobody tells when it has room again",
    ("daemon/run/run_store.c", "usleep"): "likewise; and the pace between two slices of a checkpoint",
    ("daemon/run/run_io.c", "usleep"): "the very end: a shard that is done waits for the last of the others, which "
                                       "may still have a write in flight; nothing is served any more",
}

# Sizes: the norms, and what is above them today. Such a file or function may shrink, never grow.
FILE_LINES = 1000
FUNCTION_LINES = 70
LINE_COLUMNS = 120
LONG_FILES = {
    "tests/proc/test_state.py": (1400, "one fixture, and what it is used for"),
    "tests/unit/test_db.c": (1300, "one fixture, and what it is used for"),
    "tests/unit/test_log.c": (1300, "likewise"),
    "tests/unit/test_server.c": (1600, "likewise"),
    "schema/gen.py": (1110, "one program whose parts (parser, C of each kind) read best in a row"),
}
LONG_FUNCTIONS = {
    ("tests/unit/test_db.c", "test_dump"): (73, "one list of what has to stand in it"),
    ("tests/unit/test_log.c", "test_gap_to_the_state_file"): (80, "a table of cases and what each is told"),
    ("tests/unit/test_server.c", "suite"): (80, "one line for each test"),
}
# A picture that stands beside its legend.
LONG_LINES = {}

# Declarations in headers that may stand without a comment: they mean what they mean everywhere.
SELF_EXPLAINING = r"_(init|done|new|free|ref|unref|clear|encode|decode|size|dump|check)$"
# Header: names that have no contract comment yet. They may get one; no name may be added.
UNCOMMENTED = {
    "schema/runtime/rt_buf.h": {"rt_buf_char", "rt_buf_u64", "rt_buf_i64"},
    "schema/runtime/rt_mem.h": {"rt_alloc"},
    "schema/runtime/rt_rand.h": {"rt_rand_seed", "rt_rand_u64"},
    "daemon/raft/raft.h": {"raft_last_index", "raft_term", "raft_is_leader"},
    "daemon/run/run_int.h": {"core_main", "log_main", "store_main", "io_main", "store_want_spare"},
    "daemon/run/run_mail.h": {"run_now_ms", "run_now_us", "run_wall_ms"},
    "daemon/server/srv.h": {"srv_has_proposals"},
    "daemon/state/state_int.h": {"state_stat_of"},
    "daemon/state/view.h": {"state_node_stat"},
    "daemon/store/store_log_int.h": {"store_log_id_zero"},
}

# Words of a workplace, which say nothing to a reader of the sources.
WORKPLACE = {
    r"(?i)\bissues? #?\d": "what is to be said, instead of the number of an issue",
    r"(?i)\bsession \d+ of\b": "nothing: a reader does not know of it",
    r"(?<![\w.$}~])/work/": "a path relative to the project",
    r"(?<![\w.$}~\\])/tmp/": "a folder of its own: mkdtemp below TMPDIR, or -",
}
# (file, text): the lines that are meant to show such a thing.
ALLOWED_WORDS = {
    ("tests/unit/test_log.c", "/tmp/pando-test-log-XXXXXX"),
    ("tests/unit/test_db.c", "/tmp/pando-test-db-XXXXXX"),
    ("tests/unit/test_conf.c", "/tmp/..."),
    ("tests/unit/test_conf.c", "/tmp/pando-conf-XXXXXX"),
}
