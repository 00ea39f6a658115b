#!/usr/bin/env python3
"""Writes C code from the descriptions in schema/*.def.

    gen.py errors errors.def OUTDIR     errors_gen.h, errors_gen.c
    gen.py module wire.def OUTDIR       wire_gen.h, wire_gen.c, wire_gen_random.h, wire_gen_random.c

The module's name is that of its file and the prefix of every name made. The language, by lines:

    # comment                     those before the first block begin the header
    const NAME VALUE: doc         an unsigned number
    enum NAME: doc                then indented lines VALUE NAME: doc
    record NAME: doc              then indented lines TYPE NAME: doc
    table NAME: doc               a record whose first field is `key i64 NAME: doc`; has SQL too
    codes PREFIX: doc             in errors.def only; then indented lines VALUE NAME: doc

TYPE is bool, u8, u16, u32, u64, i32, i64, string, buffer, bytes[N], vector<TYPE> or a record. A last field
may be `optional` (bool or number): it is present when bytes are left. Strings, buffers and vectors may be null.

A record of fixed size R has the macro M_R_BYTES. A constant of that name means room kept for the record,
which may not be less than its size; then the record's own size is M_R_ENCODED_BYTES.
"""

import os
import re
import sys
import textwrap

WIDTH = 100
# What random values may be made of; the bound of their scratch follows from these (see Module.check).
RANDOM_SLICE = 200
RANDOM_COUNT = 4
RANDOM_SCRATCH = 65536

C_WORDS = frozenset('''auto break case char const continue default do double else enum extern float for goto if
inline int long register restrict return short signed sizeof static struct switch typedef union unsigned void
volatile while bool true false class delete new private public this namespace template operator'''.split())
SQL_WORDS = frozenset('''add all alter and as asc between by case check collate column commit constraint create
cross default delete desc distinct drop else end escape except exists foreign from full group having if in index
inner insert into is isnull join key left like limit match not notnull null of on or order outer primary
references right rollback rowid row select set table then to transaction trigger union unique update using
values view when where with crc'''.split())


class Bad(Exception):
    """An error in a description, to be shown as it is."""


class Scalar:
    """A number or truth value of fixed size. load and store are written over p, get and put over r and w."""

    def __init__(self, name, ctype, size, load, store, dump):
        self.name, self.ctype, self.fixed = name, ctype, size
        self.load, self.store, self.dump_call = load, store, dump

    def get(self):
        return 'rt_get_%s(r)' % self.name

    def put(self, value):
        return 'rt_put_%s(w, %s);' % (self.name, value)


SCALARS = {t.name: t for t in (
    Scalar('bool', 'bool', 1, '%s != 0', None, 'rt_buf_str(out, {0} ? "true" : "false");'),
    Scalar('u8', 'uint8_t', 1, '%s', None, 'rt_buf_u64(out, {0});'),
    Scalar('u16', 'uint16_t', 2, '(uint16_t)rt_load_be(%s, 2)', None, 'rt_buf_u64(out, {0});'),
    Scalar('u32', 'uint32_t', 4, 'rt_load32(%s)', 'rt_store32(%s, %s);', 'rt_buf_u64(out, {0});'),
    Scalar('u64', 'uint64_t', 8, 'rt_load64(%s)', 'rt_store64(%s, %s);', 'rt_buf_u64(out, {0});'),
    Scalar('i32', 'int32_t', 4, '(int32_t)rt_load32(%s)', 'rt_store32(%s, (uint32_t)%s);',
           'rt_buf_i64(out, {0});'),
    Scalar('i64', 'int64_t', 8, '(int64_t)rt_load64(%s)', 'rt_store64(%s, (uint64_t)%s);',
           'rt_buf_i64(out, {0});'),
)}


class Slice:
    """A string or a buffer: an i32 length (-1 for null) and that many bytes."""

    def __init__(self, name):
        self.name, self.ctype, self.fixed = name, 'struct rt_slice', None


class Bytes:
    """A fixed number of bytes without a length."""

    def __init__(self, count):
        self.name, self.fixed = 'bytes[%d]' % count, count


class Vector:
    """An i32 count (-1 for null) and the elements."""

    def __init__(self, element):
        self.name, self.ctype, self.fixed = 'vector<%s>' % element.name, 'struct rt_vec', None
        self.element = element


class Record:
    def __init__(self, module, line, name, doc, table):
        self.module, self.line, self.name, self.doc, self.table = module, line, name, doc, table
        self.fields = []
        self.cname = '%s_%s' % (module.name, name)
        self.ctype = 'struct ' + self.cname
        self.bytes_macro = self.cname.upper() + '_BYTES'

    @property
    def fixed(self):
        """Encoded size, or None when it depends on the value."""
        total = 0
        for f in self.fields:
            if f.optional or f.type.fixed is None:
                return None
            total += f.type.fixed
        return total


class Field:
    def __init__(self, line, mark, type_text, name, doc):
        self.line, self.type_text, self.name, self.doc = line, type_text, name, doc
        self.key, self.optional = mark == 'key', mark == 'optional'
        self.type = None


class Enum:
    def __init__(self, line, name, doc):
        self.line, self.name, self.doc, self.values = line, name, doc, []


class Value:
    def __init__(self, line, value, name, doc):
        self.line, self.value, self.name, self.doc = line, value, name, doc


# ---------------------------------------------------------------------------------------------- reading


class Module:
    """One description file, read and checked."""

    HEAD = re.compile(r'(record|table|enum|codes) +(\S+) *: *(.*)$')
    CONST = re.compile(r'const +(\S+) +(\S+) *: *(.*)$')
    FIELD = re.compile(r'(?:(key|optional) +)?(\S+) +(\S+) *: *(.*)$')
    VALUE = re.compile(r'(\S+) +(\S+) *: *(.*)$')
    LOWER = re.compile(r'[a-z][a-z0-9_]*\Z')
    UPPER = re.compile(r'[A-Z][A-Z0-9_]*\Z')
    NUMBER = re.compile(r'-?(0x[0-9a-fA-F]+|0|[1-9][0-9]*)\Z')

    def __init__(self, path):
        self.path = path
        self.name = os.path.splitext(os.path.basename(path))[0]
        self.about, self.consts, self.enums, self.codes, self.records = [], [], [], [], []
        self.by_name, self.names = {}, {}
        if not self.LOWER.match(self.name):
            raise Bad('%s: the file\'s name must be a lower-case word: it becomes the prefix' % path)
        try:
            with open(path, encoding='utf-8') as f:
                lines = f.read().split('\n')
        except (OSError, UnicodeDecodeError) as e:
            raise Bad('%s: %s' % (path, e)) from e
        self.read(lines)
        self.resolve()
        self.check()

    def bad(self, line, text):
        raise Bad('%s:%d: %s' % (self.path, line, text))

    def read(self, lines):
        block, started = None, False
        for number, text in enumerate(lines, 1):
            text = text.rstrip()
            if text.startswith('#'):
                if not started:
                    self.about.append(text.lstrip('# '))
                continue
            if not text:
                continue
            started = True
            if '*/' in text or '/*' in text or '\\' in text:
                self.bad(number, 'comment marks and backslashes cannot stand in C comments')
            if text[0] not in ' \t':
                block = self.read_head(number, text)
            elif block is None:
                self.bad(number, 'an indented line must follow a record, table, enum or codes line')
            elif isinstance(block, Record):
                self.read_field(number, text.strip(), block)
            else:
                self.read_value(number, text.strip(), block)

    def read_head(self, number, text):
        m = self.CONST.match(text)
        if m:
            value = self.number(number, m[2])
            if not 0 <= value < 1 << 64:
                self.bad(number, 'a constant must fit 64 bits without a sign')
            self.need(number, m[1], self.UPPER, m[3])
            self.take(number, ('%s_%s' % (self.name, m[1])).upper())
            self.consts.append(Value(number, value, m[1], m[3]))
            self.consts[-1].text = m[2]
            return None
        m = self.HEAD.match(text)
        if not m:
            self.bad(number, '`record NAME: doc`, `table`, `enum`, `codes` or `const NAME VALUE: doc` expected')
        self.need(number, m[2], self.LOWER, m[3])
        if m[1] in ('record', 'table'):
            r = Record(self, number, m[2], m[3], m[1] == 'table')
            if r.name in self.by_name:
                self.bad(number, '%s is defined in line %d already' % (r.name, self.by_name[r.name].line))
            if r.name in SCALARS or r.name in ('string', 'buffer', 'bytes', 'vector'):
                self.bad(number, '%s is the name of a type' % r.name)
            self.by_name[r.name] = r
            self.records.append(r)
            return r
        e = Enum(number, m[2], m[3])
        if any(o.name == e.name for o in self.enums + self.codes):
            self.bad(number, '%s is defined already' % e.name)
        (self.enums if m[1] == 'enum' else self.codes).append(e)
        return e

    def read_field(self, number, text, record):
        m = self.FIELD.match(text)
        if not m:
            self.bad(number, '`TYPE NAME: doc` expected')
        f = Field(number, m[1], m[2], m[3], m[4])
        self.need(number, f.name, self.LOWER, f.doc)
        if f.name in C_WORDS:
            self.bad(number, '%s is a word of C or C++' % f.name)
        if record.table and f.name in SQL_WORDS:
            self.bad(number, '%s is a word of SQL, or the name of the checksum' % f.name)
        if any(o.name in (f.name, 'has_' + f.name) or f.name == 'has_' + o.name for o in record.fields):
            self.bad(number, '%s has a field %s already' % (record.name, f.name))
        record.fields.append(f)

    def read_value(self, number, text, enum):
        m = self.VALUE.match(text)
        if not m:
            self.bad(number, '`VALUE NAME: doc` expected')
        v = Value(number, self.number(number, m[1]), m[2], m[3])
        self.need(number, v.name, self.UPPER, v.doc)
        if not -(1 << 31) <= v.value < 1 << 31:
            self.bad(number, 'a value must fit an int')
        for o in enum.values:
            if v.value == o.value or v.name == o.name:
                self.bad(number, '%s has this value or name in line %d already' % (enum.name, o.line))
        enum.values.append(v)

    def number(self, number, text):
        if not self.NUMBER.match(text):
            self.bad(number, '%s is not a number' % text)
        return int(text, 0)

    def need(self, number, name, pattern, doc):
        if not pattern.match(name):
            self.bad(number, '%s: %s-case letters, digits and _ expected in a name'
                     % (name, 'lower' if pattern is self.LOWER else 'upper'))
        if not doc:
            self.bad(number, '%s has no text behind its colon' % name)

    def take(self, line, name):
        """Every macro and function made has its own name."""
        if name in self.names:
            self.bad(line, '%s would be made twice, also for line %d' % (name, self.names[name]))
        self.names[name] = line

    def type_of(self, line, text):
        if text in SCALARS:
            return SCALARS[text]
        if text in ('string', 'buffer'):
            return Slice(text)
        m = re.match(r'bytes\[([0-9]+)\]\Z', text)
        if m:
            if not 1 <= int(m[1]) <= 4096:
                self.bad(line, 'bytes[N] takes 1 to 4096')
            return Bytes(int(m[1]))
        m = re.match(r'vector<(.+)>\Z', text)
        if m:
            element = self.type_of(line, m[1])
            if isinstance(element, (Vector, Bytes)):
                self.bad(line, 'a vector of %s needs a record around the element' % element.name)
            return Vector(element)
        if text not in self.by_name:
            self.bad(line, 'unknown type %s' % text)
        return self.by_name[text]

    def resolve(self):
        """Fields get their types, records an order in which each stands behind those that it contains."""
        for r in self.records:
            if not r.fields:
                self.bad(r.line, '%s has no fields' % r.name)
            for f in r.fields:
                f.type = self.type_of(f.line, f.type_text)
        order, on_the_way = [], []

        def place(record, line):
            if record in on_the_way:
                self.bad(line, 'a %s cannot contain itself' % record.name)
            if record in order:
                return
            on_the_way.append(record)
            for f in record.fields:
                inner = f.type.element if isinstance(f.type, Vector) else f.type
                if isinstance(inner, Record):
                    place(inner, f.line)
                    if any(g.optional for g in inner.fields):
                        self.bad(f.line, '%s has an optional field and cannot stand inside another record'
                                 % inner.name)
            on_the_way.pop()
            order.append(record)

        for r in self.records:
            place(r, r.line)
        self.records = order

    def check(self):
        for r in self.records:
            for i, f in enumerate(r.fields):
                if f.optional and (i != len(r.fields) - 1 or not isinstance(f.type, Scalar)):
                    self.bad(f.line, 'only a last field that is a number or a bool can be optional')
                if f.key and (not r.table or i != 0 or f.type.name != 'i64'):
                    self.bad(f.line, 'a key is an i64, the first field, and in a table')
                if r.table and (f.optional or isinstance(f.type, (Record, Vector))):
                    self.bad(f.line, 'a table has no column of this type')
            if r.table and not r.fields[0].key:
                self.bad(r.line, 'the first field of a table is its key')
            if self.random_bound(r) > RANDOM_SCRATCH:
                self.bad(r.line, '%s is too large for random values; see RANDOM_SCRATCH in gen.py' % r.name)
            self.check_names(r)
        for e in self.enums:
            self.take(e.line, '%s_%s_name' % (self.name, e.name))
            for v in e.values:
                self.take(v.line, ('%s_%s_%s' % (self.name, e.name, v.name)).upper())
        for e in self.enums + self.codes:
            if not e.values:
                self.bad(e.line, '%s has no values' % e.name)

    def check_names(self, r):
        for end in 'decode', 'encode', 'size', 'dump', 'random', 'equal', 'load', 'store':
            self.take(r.line, '%s_%s' % (r.cname, end))
        if r.fixed is not None:
            if r.bytes_macro in self.names:
                room = next(c for c in self.consts if c.line == self.names[r.bytes_macro])
                if room.value < r.fixed:
                    self.bad(room.line, '%s takes %d bytes' % (r.name, r.fixed))
                r.bytes_macro = r.cname.upper() + '_ENCODED_BYTES'
            self.take(r.line, r.bytes_macro)
        if r.table:
            self.take(r.line, r.cname.upper() + '_SQL')
            self.take(r.line, r.cname.upper() + '_COLUMNS')

    def encoded_bound(self, t):
        if t.fixed is not None:
            return t.fixed
        if isinstance(t, Slice):
            return 4 + RANDOM_SLICE
        if isinstance(t, Vector):
            return 4 + RANDOM_COUNT * self.encoded_bound(t.element)
        return sum(self.encoded_bound(f.type) for f in t.fields)

    def least(self, t):
        """The smallest encoded size; at least 1, as no record is empty and optional fields cannot be inside."""
        if t.fixed is not None:
            return t.fixed
        if isinstance(t, Record):
            return sum(self.least(f.type) for f in t.fields)
        return 4

    def random_bound(self, t):
        """The scratch that a random value may take."""
        if isinstance(t, Slice):
            return RANDOM_SLICE
        if isinstance(t, Vector):
            return RANDOM_COUNT * (self.random_bound(t.element) + self.encoded_bound(t.element))
        if isinstance(t, Record):
            return sum(self.random_bound(f.type) for f in t.fields)
        return 0

    def vectors(self):
        """The element types of all vectors, each once, by name."""
        found = {}
        for r in self.records:
            for f in r.fields:
                if isinstance(f.type, Vector):
                    found.setdefault(f.type.element.name, f.type.element)
        return [found[n] for n in sorted(found)]

    def has(self, kind):
        return any(isinstance(f.type, kind) for r in self.records for f in r.fields)


# ---------------------------------------------------------------------------------------------- writing


class Out:
    """Lines of C; tab() deepens the indentation by one."""

    def __init__(self):
        self.lines = []

    def __call__(self, text='', depth=0):
        self.lines.extend('\t' * depth + line if line else '' for line in text.split('\n'))

    def text(self):
        return '\n'.join(self.lines) + '\n'

    def comment(self, text, depth=0):
        room = WIDTH - 8 * depth - 6
        lines = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False)
        tabs = '\t' * depth
        self.lines.append(tabs + '/* ' + ('\n' + tabs + ' * ').join(lines) + ' */')

    def noted(self, code, doc, depth=0):
        """code with a comment behind it, or before it when the line would be long."""
        line = '%s /* %s */' % (code, doc)
        if 8 * depth + len(line) <= WIDTH:
            self(line, depth)
        else:
            self.comment(doc, depth)
            self(code, depth)

    def body(self, head, lines):
        """A function."""
        self()
        self(head)
        self('{')
        for line in lines:
            self(line, 1)
        self('}')


def banner(out, source, about):
    out('/* Made by schema/gen.py from %s: do not edit. */' % os.path.basename(source))
    if about:
        out.lines.append('/* ' + '\n * '.join(about) + ' */')


def put_enum(out, tag, prefix, enum):
    out()
    out.comment(enum.doc)
    out('enum %s {' % tag)
    for v in enum.values:
        out.noted('%s%s = %d,' % (prefix, v.name, v.value), v.doc, 1)
    out('};')


def put_switch(out, head, cases, otherwise):
    lines = ['switch (v) {']
    for label, text in cases:
        lines += ['case %s:' % label, '\treturn %s;' % text]
    lines += ['default:', '\treturn %s;' % otherwise, '}']
    out.body(head, lines)


def quoted(text):
    return '"%s"' % text.replace('"', '\\"')


# --- structs, decoders and encoders, in the header


def put_struct(out, r):
    out()
    out.comment(r.doc)
    out(r.ctype + ' {')
    for f in r.fields:
        if f.optional:
            out('bool has_%s;' % f.name, 1)
        if isinstance(f.type, Bytes):
            code = 'uint8_t %s[%d];' % (f.name, f.type.fixed)
        else:
            code = '%s %s;' % (f.type.ctype, f.name)
        doc = f.doc
        if isinstance(f.type, Vector):
            doc = '%s: %s' % (f.type.name, doc)
        out.noted(code, doc, 1)
    out('};')
    if r.fixed is not None:
        out('#define %s %dU' % (r.bytes_macro, r.fixed))
    if r.table:
        put_sql(out, r)


def sql_type(f):
    if f.key:
        return 'INTEGER PRIMARY KEY'
    if isinstance(f.type, Scalar):
        return 'INTEGER NOT NULL'
    if isinstance(f.type, Bytes):
        return 'BLOB NOT NULL'
    return 'TEXT NOT NULL' if f.type.name == 'string' else 'BLOB'


def put_sql(out, r):
    columns = ['%s %s' % (f.name, sql_type(f)) for f in r.fields] + ['crc INTEGER NOT NULL']
    out('#define %s_SQL \\' % r.cname.upper())
    out('"CREATE TABLE %s (" \\' % r.name, 1)
    for c in columns[:-1]:
        out('"%s, " \\' % c, 1)
    out('"%s) STRICT"' % columns[-1], 1)
    names = ', '.join([f.name for f in r.fields] + ['crc'])
    out('#define %s_COLUMNS \\' % r.cname.upper())
    parts = textwrap.wrap(names, WIDTH - 16)
    for part in parts[:-1]:
        out('"%s " \\' % part, 1)
    out('"%s"' % parts[-1], 1)


def at(offset):
    return 'p + %d' % offset if offset else 'p'


def load_lines(r):
    lines, offset = [], 0
    for f in r.fields:
        t, v = f.type, 'ret->' + f.name
        if isinstance(t, Record):
            lines.append('%s_load(%s, &%s);' % (t.cname, at(offset), v))
        elif isinstance(t, Bytes):
            lines.append('memcpy(%s, %s, %d);' % (v, at(offset), t.fixed))
        else:
            place = 'p[%d]' % offset if t.fixed == 1 else at(offset)
            lines.append('%s = %s;' % (v, t.load % place))
        offset += t.fixed
    return lines


def store_lines(r):
    lines, offset = [], 0
    for f in r.fields:
        t, v = f.type, 'v->' + f.name
        if isinstance(t, Record):
            lines.append('%s_store(%s, &%s);' % (t.cname, at(offset), v))
        elif isinstance(t, Bytes):
            lines.append('memcpy(%s, %s, %d);' % (at(offset), v, t.fixed))
        elif t.fixed == 1:
            lines.append('p[%d] = %s;' % (offset, v))
        elif t.fixed == 2:
            lines.append('p[%d] = (uint8_t)(%s >> 8);' % (offset, v))
            lines.append('p[%d] = (uint8_t)%s;' % (offset + 1, v))
        else:
            lines.append(t.store % (at(offset), v))
        offset += t.fixed
    return lines


def put_fixed_codec(out, r):
    macro = r.bytes_macro
    out.body('static inline void %s_load(const uint8_t *p, %s *ret)' % (r.cname, r.ctype), load_lines(r))
    out.body('static inline void %s_store(uint8_t *p, const %s *v)' % (r.cname, r.ctype), store_lines(r))
    out.body('static inline int %s_decode(struct rt_reader *r, %s *ret)' % (r.cname, r.ctype), [
        'const uint8_t *p = rt_take(r, %s);' % macro,
        'if (p == NULL)',
        '\treturn PANDO_EPROTO;',
        '%s_load(p, ret);' % r.cname,
        'return 0;'])
    out.body('static inline void %s_encode(struct rt_writer *w, const %s *v)' % (r.cname, r.ctype), [
        'uint8_t *p = rt_room(w, %s);' % macro,
        'if (p != NULL)',
        '\t%s_store(p, v);' % r.cname])
    out.body('static inline size_t %s_size(const %s *v)' % (r.cname, r.ctype), [
        '(void)v;', 'return %s;' % macro])


def decode_lines(r):
    lines = []
    for f in r.fields:
        t, v = f.type, 'ret->' + f.name
        if f.optional:
            lines.append('ret->has_%s = !r->bad && rt_left(r) > 0;' % f.name)
            lines.append('%s = %s;' % (v, 'false' if t.name == 'bool' else '0'))
            lines += ['if (ret->has_%s)' % f.name, '\t%s = %s;' % (v, t.get())]
        elif isinstance(t, Record):
            lines.append('(void)%s_decode(r, &%s);' % (t.cname, v))
        elif isinstance(t, Bytes):
            lines.append('rt_get_bytes(r, %s, %d);' % (v, t.fixed))
        elif isinstance(t, Slice):
            lines.append('%s = rt_get_slice(r);' % v)
        elif isinstance(t, Vector):
            lines.append('%s = %s_get_%s_vec(r);' % (v, r.module.name, t.element.name))
        else:
            lines.append('%s = %s;' % (v, t.get()))
    return lines + ['return r->bad ? PANDO_EPROTO : 0;']


def encode_lines(r):
    lines = []
    for f in r.fields:
        t, v = f.type, 'v->' + f.name
        if isinstance(t, Record):
            lines.append('%s_encode(w, &%s);' % (t.cname, v))
        elif isinstance(t, Bytes):
            lines.append('rt_put_bytes(w, %s, %d);' % (v, t.fixed))
        elif isinstance(t, Slice):
            lines.append('rt_put_slice(w, %s);' % v)
        elif isinstance(t, Vector):
            lines.append('rt_put_vec(w, %s);' % v)
        elif f.optional:
            lines += ['if (v->has_%s)' % f.name, '\t' + t.put(v)]
        else:
            lines.append(t.put(v))
    return lines


def size_lines(r):
    constant, terms = 0, []
    for f in r.fields:
        t, v = f.type, 'v->' + f.name
        if f.optional:
            terms.append('(v->has_%s ? %dU : 0U)' % (f.name, t.fixed))
        elif t.fixed is not None:
            constant += t.fixed
        elif isinstance(t, Slice):
            terms.append('rt_slice_size(%s)' % v)
        elif isinstance(t, Vector):
            terms.append('rt_vec_size(%s)' % v)
        else:
            terms.append('%s_size(&%s)' % (t.cname, v))
    if constant:
        terms.insert(0, str(constant))
    lines = ['return ' + terms[0]]
    for term in terms[1:]:
        if len(lines[-1]) + len(term) > WIDTH - 24:
            lines.append('\t+ ' + term)
        else:
            lines[-1] += ' + ' + term
    lines[-1] += ';'
    return lines


def put_codec(out, r):
    if r.fixed is not None:
        put_fixed_codec(out, r)
        return
    out.body('static inline int %s_decode(struct rt_reader *r, %s *ret)' % (r.cname, r.ctype), decode_lines(r))
    out.body('static inline void %s_encode(struct rt_writer *w, const %s *v)' % (r.cname, r.ctype),
             encode_lines(r))
    out.body('static inline size_t %s_size(const %s *v)' % (r.cname, r.ctype), size_lines(r))


def put_vec_decoder(out, module, t):
    """The elements are looked at one by one, so that who walks the vector later meets no surprise."""
    out()
    out.comment('A vector of %s, every element checked.' % t.name)
    lines = ['int32_t count = rt_get_i32(r);',
             'struct rt_vec none = { NULL, 0, -1 };',
             'if (r->bad || count == -1)',
             '\treturn none;']
    size = t.bytes_macro if isinstance(t, Record) and t.fixed else '%dU' % module.least(t)
    if t.fixed is None:
        lines.append('/* an element takes %s bytes at least: an absurd count costs nothing */' % size[:-1])
    lines += ['if (count < 0 || (size_t)count > rt_left(r) / %s) {' % size,
              '\tr->bad = true;', '\treturn none;', '}', 'const uint8_t *p = r->p;']
    if t.fixed is not None:
        lines.append('r->p += (size_t)count * %s;' % size)
    elif isinstance(t, Slice):
        lines += ['for (int32_t i = 0; i < count && !r->bad; i++)',
                  '\t(void)rt_get_slice(r);']
    else:
        lines += ['for (int32_t i = 0; i < count && !r->bad; i++) {',
                  '\t%s element;' % t.ctype,
                  '\t(void)%s_decode(r, &element);' % t.cname,
                  '}']
    lines += ['size_t bytes = (size_t)(r->p - p);',
              'if (bytes > UINT32_MAX)',
              '\tr->bad = true;',
              'return r->bad ? none : (struct rt_vec){ p, (uint32_t)bytes, count };']
    out('static inline struct rt_vec %s_get_%s_vec(struct rt_reader *r)' % (module.name, t.name))
    out('{')
    for line in lines:
        out(line, 1)
    out('}')


MANUAL = """
/* For every record R there are
 *   struct {m}_R           what it holds; strings, buffers and vectors point into what was decoded
 *   {m}_R_decode(r, ret)   0, or PANDO_EPROTO with r->bad set, and then *ret means nothing; bytes
 *   {     }                behind the record stay in r
 *   {m}_R_encode(w, v)     sets w->full when there is no room
 *   {m}_R_size(v)          bytes that encode writes
 *   {m}_R_dump(out, v)     one line of text, for people
 * and for a record of fixed size {m}_R_load and {m}_R_store, for callers that have that many bytes.
 * A vector is checked when it is decoded; walk it with rt_reader_of_vec and the element's decoder. */"""


def module_header(module):
    out, m = Out(), module.name
    banner(out, module.path, module.about)
    out('#ifndef PANDO_%s_GEN_H\n#define PANDO_%s_GEN_H\n' % (m.upper(), m.upper()))
    out('#include "schema/errors_gen.h"\n#include "schema/runtime/rt_buf.h"\n#include "schema/runtime/rt_codec.h"')
    if module.records:
        out(MANUAL.replace('{m}', m).replace('{     }', ' ' * (len(m) + 4)))
    if module.consts:
        out()
        for c in module.consts:
            suffix = 'U' if c.value < 1 << 32 else 'ULL'
            out.noted('#define %s_%s %s%s' % (m.upper(), c.name, c.text, suffix), c.doc)
    for e in module.enums:
        put_enum(out, '%s_%s' % (m, e.name), ('%s_%s_' % (m, e.name)).upper(), e)
        out.comment('The name of a value, or NULL.')
        out('const char *%s_%s_name(int32_t v);' % (m, e.name))
    done, vectors = set(), module.vectors()
    for r in module.records:
        for t in vectors:
            if t.name not in done and any(isinstance(f.type, Vector) and f.type.element is t or
                                          f.type.name == 'vector<%s>' % t.name for f in r.fields):
                done.add(t.name)
                put_vec_decoder(out, module, t)
        put_struct(out, r)
        put_codec(out, r)
    if module.records:
        out()
        for r in module.records:
            out('void %s_dump(struct rt_buf *out, const %s *v);' % (r.cname, r.ctype))
    out('\n#endif')
    return out.text()


# --- names and dumps


def dump_value(t, v):
    if isinstance(t, Scalar):
        return t.dump_call.format(v)
    if isinstance(t, Slice):
        return 'rt_buf_quoted(out, %s);' % v
    if isinstance(t, Bytes):
        return 'bytes_text(out, %s, %d);' % (v, t.fixed)
    if isinstance(t, Vector):
        return '%s_vec_text(out, %s);' % (t.element.name, v)
    return '%s_text(out, &%s);' % (t.name, v)


def dump_lines(r):
    lines = []
    for i, f in enumerate(r.fields):
        optional = [] if not f.optional else ['if (v->has_%s) {' % f.name]
        if i == 0 and optional:
            lines.append('rt_buf_char(out, \'{\');')
        start = '' if i == 0 and optional else ' ' if i else '{'
        pair = ['rt_buf_str(out, "%s%s=");' % (start, f.name), dump_value(f.type, 'v->' + f.name)]
        if optional:
            pair = optional + ['\t' + line for line in pair] + ['}']
        lines += pair
    return lines + ['rt_buf_char(out, \'}\');']


def put_vec_text(out, module, t):
    if isinstance(t, Record):
        read = ['%s element;' % t.ctype, '(void)%s_decode(&r, &element);' % t.cname]
    else:
        get = 'rt_get_slice(&r)' if isinstance(t, Slice) else 'rt_get_%s(&r)' % t.name
        read = ['%s element = %s;' % (t.ctype, get)]
    out.body('static void %s_vec_text(struct rt_buf *out, struct rt_vec v)' % t.name, [
        'if (v.count < 0) {',
        '\trt_buf_str(out, "null");',
        '\treturn;',
        '}',
        'struct rt_reader r = rt_reader_of_vec(v);',
        'rt_buf_char(out, \'[\');',
        'for (int32_t i = 0; i < v.count; i++) {',
        '\tif (i != 0)',
        '\t\trt_buf_char(out, \' \');'] + ['\t' + line for line in read] + [
        '\t' + dump_value(t, 'element'),
        '}',
        'rt_buf_char(out, \']\');'])


def module_source(module):
    out, m = Out(), module.name
    banner(out, module.path, [])
    out('#include "schema/%s_gen.h"' % m)
    for e in module.enums:
        prefix = ('%s_%s_' % (m, e.name)).upper()
        put_switch(out, 'const char *%s_%s_name(int32_t v)' % (m, e.name),
                   [(prefix + v.name, quoted(v.name)) for v in e.values], 'NULL')
    if module.has(Bytes):
        out.body('static void bytes_text(struct rt_buf *out, const uint8_t *p, size_t n)', [
            'for (size_t i = 0; i < n; i++) {',
            '\trt_buf_char(out, "0123456789abcdef"[p[i] >> 4]);',
            '\trt_buf_char(out, "0123456789abcdef"[p[i] & 15]);',
            '}'])
    vectors = module.vectors()
    for t in vectors:
        if not isinstance(t, Record):
            put_vec_text(out, module, t)
    for r in module.records:
        out.body('static void %s_text(struct rt_buf *out, const %s *v)' % (r.name, r.ctype), dump_lines(r))
        if r in vectors:
            put_vec_text(out, module, r)
        out.body('void %s_dump(struct rt_buf *out, const %s *v)' % (r.cname, r.ctype), [
            'rt_buf_str(out, "%s");' % r.name, '%s_text(out, v);' % r.name])
    return out.text()


# --- random values, comparison and checks, for tests only


def random_header(module):
    out, m = Out(), module.name
    banner(out, module.path, [])
    out('#ifndef PANDO_%s_GEN_RANDOM_H\n#define PANDO_%s_GEN_RANDOM_H\n' % (m.upper(), m.upper()))
    out('#include "schema/kind.h"\n#include "schema/%s_gen.h"\n#include "schema/runtime/rt_rand.h"\n' % m)
    out('/* What a scratch buffer must have reserved before a random value is made in it: it may not move. */')
    out('#define %s_RANDOM_SCRATCH %dU' % (m.upper(), RANDOM_SCRATCH))
    out('\n/* Every record, for tests that walk them all. */')
    out('extern const struct schema_kind %s_random_kinds[];' % m)
    out('extern const size_t %s_random_kind_count;' % m)
    out('\n/* The first byte picks the record, the rest is checked as one (see schema_kind). Returns 0. */')
    out('int %s_fuzz_one(const uint8_t *data, size_t len);\n' % m)
    out('/* A random value, whose strings, buffers and vectors live in scratch; and whether two are equal. */')
    for r in module.records:
        out('void %s_random(struct rt_rand *rnd, struct rt_buf *scratch, %s *ret);' % (r.cname, r.ctype))
        out('bool %s_equal(const %s *a, const %s *b);' % (r.cname, r.ctype, r.ctype))
    out('\n#endif')
    return out.text()


RANDOM_HELPERS = {
    'number': '''
/* Numbers as they go wrong: small ones, powers of two and their neighbours, all bits set, anything. */
static uint64_t random_number(struct rt_rand *rnd)
{
	switch (rt_rand_below(rnd, 4)) {
	case 0:
		return rt_rand_below(rnd, 16);
	case 1:
		return ((uint64_t)1 << rt_rand_below(rnd, 64)) - rt_rand_below(rnd, 2);
	case 2:
		return UINT64_MAX - rt_rand_below(rnd, 4);
	default:
		return rt_rand_u64(rnd);
	}
}''',
    'room': '''
static uint8_t *random_room(struct rt_buf *scratch, size_t n)
{
	ASSERT(scratch->p != NULL);
	ASSERT(n <= scratch->cap - scratch->len); /* else slices made before would point nowhere */
	uint8_t *p = scratch->p + scratch->len;
	scratch->len += n;
	return p;
}''',
    'slice': '''
static struct rt_slice random_slice(struct rt_rand *rnd, struct rt_buf *scratch)
{
	static const char plain[] = "/abcdefghijklmnopqrstuvwxyz-0123456789";
	uint64_t shape = rt_rand_below(rnd, 16);
	if (shape == 0)
		return (struct rt_slice){ NULL, 0 };
	size_t len = shape == 1 ? 0 : rt_rand_below(rnd, shape == 2 ? %d : 24);
	uint8_t *p = random_room(scratch, len);
	bool text = rt_rand_below(rnd, 4) != 0;
	for (size_t i = 0; i < len; i++)
		p[i] = text ? (uint8_t)plain[rt_rand_below(rnd, sizeof plain - 1)] : (uint8_t)rt_rand_u64(rnd);
	return rt_slice_of(p, len);
}''' % (RANDOM_SLICE + 1),
    'bytes': '''
static void random_bytes(struct rt_rand *rnd, uint8_t *ret, size_t n)
{
	for (size_t i = 0; i < n; i++)
		ret[i] = (uint8_t)rt_rand_u64(rnd);
}''',
    'vec': '''
/* -1 (null) to RANDOM_COUNT */
#define RANDOM_COUNT %d
static int32_t random_count(struct rt_rand *rnd) { return (int32_t)rt_rand_below(rnd, RANDOM_COUNT + 2) - 1; }

static bool vec_equal(struct rt_vec a, struct rt_vec b)
{
	if (a.count != b.count)
		return false;
	return a.count <= 0 || (a.bytes == b.bytes && memcmp(a.p, b.p, a.bytes) == 0);
}''' % RANDOM_COUNT,
}


def random_value(t, v):
    """Statement that fills v."""
    if isinstance(t, Record):
        return '%s_random(rnd, scratch, &%s);' % (t.cname, v)
    if isinstance(t, Bytes):
        return 'random_bytes(rnd, %s, %d);' % (v, t.fixed)
    if isinstance(t, Slice):
        return '%s = random_slice(rnd, scratch);' % v
    if isinstance(t, Vector):
        return '%s = random_%s_vec(rnd, scratch);' % (v, t.element.name)
    if t.name == 'bool':
        return '%s = rt_rand_below(rnd, 2) != 0;' % v
    return '%s = (%s)random_number(rnd);' % (v, t.ctype)


def put_random_vec(out, t):
    if isinstance(t, Record):
        size, put = '%s_size(&e[i])' % t.cname, '%s_encode(&w, &e[i]);' % t.cname
    elif isinstance(t, Slice):
        size, put = 'rt_slice_size(e[i])', 'rt_put_slice(&w, e[i]);'
    else:
        size, put = '%dU' % t.fixed, 'rt_put_%s(&w, e[i]);' % t.name
    out.body('static struct rt_vec random_%s_vec(struct rt_rand *rnd, struct rt_buf *scratch)' % t.name, [
        '%s e[RANDOM_COUNT];' % t.ctype,
        'int32_t count = random_count(rnd);',
        'if (count < 0)',
        '\treturn (struct rt_vec){ NULL, 0, -1 };',
        'size_t bytes = 0;',
        'for (int32_t i = 0; i < count; i++) {',
        '\t' + random_value(t, 'e[i]'),
        '\tbytes += %s;' % size,
        '}',
        'uint8_t *p = random_room(scratch, bytes);',
        'struct rt_writer w = rt_writer_of(p, bytes);',
        'for (int32_t i = 0; i < count; i++)',
        '\t' + put,
        'ASSERT(!w.full && w.p == w.end);',
        'return (struct rt_vec){ p, (uint32_t)bytes, count };'])


def put_random(out, r):
    lines = []
    if r.fixed is not None:
        lines.append('(void)scratch;')
    for f in r.fields:
        if f.optional:
            lines.append('ret->has_%s = rt_rand_below(rnd, 2) != 0;' % f.name)
            lines.append('ret->%s = %s;' % (f.name, 'false' if f.type.name == 'bool' else '0'))
            lines += ['if (ret->has_%s)' % f.name, '\t' + random_value(f.type, 'ret->' + f.name)]
        else:
            lines.append(random_value(f.type, 'ret->' + f.name))
    out.body('void %s_random(struct rt_rand *rnd, struct rt_buf *scratch, %s *ret)' % (r.cname, r.ctype), lines)


def put_equal(out, r):
    tests = []
    for f in r.fields:
        a, b, t = 'a->' + f.name, 'b->' + f.name, f.type
        if f.optional:
            tests.append('a->has_%s == b->has_%s' % (f.name, f.name))
            tests.append('(!a->has_%s || %s == %s)' % (f.name, a, b))
        elif isinstance(t, Record):
            tests.append('%s_equal(&%s, &%s)' % (t.cname, a, b))
        elif isinstance(t, Bytes):
            tests.append('memcmp(%s, %s, %d) == 0' % (a, b, t.fixed))
        elif isinstance(t, Slice):
            tests.append('rt_slice_eq(%s, %s)' % (a, b))
        elif isinstance(t, Vector):
            tests.append('vec_equal(%s, %s)' % (a, b))
        else:
            tests.append('%s == %s' % (a, b))
    text = '\n\t&& '.join(tests)
    out.body('bool %s_equal(const %s *a, const %s *b)' % (r.cname, r.ctype, r.ctype),
             ('return %s;' % text).split('\n'))


KIND = '''
static void %(cname)s_make(struct rt_rand *rnd, struct rt_buf *out)
{
	struct rt_buf scratch;
	rt_buf_init(&scratch, %(M)s_RANDOM_SCRATCH);
	ASSERT(rt_buf_reserve(&scratch, %(M)s_RANDOM_SCRATCH));
	%(ctype)s v, again;
	%(cname)s_random(rnd, &scratch, &v);
	size_t size = %(cname)s_size(&v);
	ASSERT(rt_buf_reserve(out, size + 1)); /* a place even for a value of no bytes */
	uint8_t *p = out->p + out->len;
	out->len += size;
	struct rt_writer w = rt_writer_of(p, size);
	%(cname)s_encode(&w, &v);
	ASSERT(!w.full && w.p == w.end);
	struct rt_reader r = rt_reader_of(p, size);
	ASSERT(%(cname)s_decode(&r, &again) == 0);
	ASSERT(!r.bad && rt_left(&r) == 0);
	ASSERT(%(cname)s_equal(&v, &again));
	rt_buf_done(&scratch);
}

static int %(cname)s_check(const uint8_t *bytes, size_t len, struct rt_buf *text, size_t *ret_used)
{
	%(ctype)s v, again;
	struct rt_reader r = rt_reader_of(bytes, len);
	if (%(cname)s_decode(&r, &v) != 0) {
		ASSERT(r.bad);
		return PANDO_EPROTO;
	}
	ASSERT(!r.bad && r.p <= r.end);
	size_t used = len - rt_left(&r);
	ASSERT(%(cname)s_size(&v) == used);
	%(cname)s_dump(text, &v);
	uint8_t *copy = rt_alloc(used);
	struct rt_writer w = rt_writer_of(copy, used);
	%(cname)s_encode(&w, &v);
	ASSERT(!w.full && w.p == w.end);
	r = rt_reader_of(copy, used);
	ASSERT(%(cname)s_decode(&r, &again) == 0);
	ASSERT(rt_left(&r) == 0);
	ASSERT(%(cname)s_equal(&v, &again));
	if (used > 0) {
		w = rt_writer_of(copy, used - 1);
		%(cname)s_encode(&w, &v);
		ASSERT(w.full && w.p <= w.end);
	}
	rt_free(copy);
	*ret_used = used;
	return 0;
}'''


def random_source(module):
    out, m = Out(), module.name
    banner(out, module.path, [])
    out('#include "schema/%s_gen_random.h"\n\n#include "schema/runtime/rt_mem.h"' % m)
    vectors = module.vectors()
    numbers = any(isinstance(t, Scalar) and t.name != 'bool'
                  for t in [f.type for r in module.records for f in r.fields] + vectors)
    slices = module.has(Slice) or any(isinstance(t, Slice) for t in vectors)
    for name, wanted in (('number', numbers), ('room', slices or vectors), ('slice', slices),
                         ('bytes', module.has(Bytes)), ('vec', vectors)):
        if wanted:
            out(RANDOM_HELPERS[name])
    for t in vectors:
        if not isinstance(t, Record):
            put_random_vec(out, t)
    for r in module.records:
        put_random(out, r)
        put_equal(out, r)
        out(KIND % {'cname': r.cname, 'ctype': r.ctype, 'M': m.upper()})
        if r in vectors:
            put_random_vec(out, r)
    out('\nconst struct schema_kind %s_random_kinds[] = {' % m)
    for r in module.records:
        out('{ "%s", %s, %s_make, %s_check },' % (r.cname, r.bytes_macro if r.fixed is not None else 0,
                                                  r.cname, r.cname), 1)
    out('};\nconst size_t %s_random_kind_count = sizeof %s_random_kinds / sizeof *%s_random_kinds;' % (m, m, m))
    out.body('int %s_fuzz_one(const uint8_t *data, size_t len)' % m, [
        'if (len == 0)',
        '\treturn 0;',
        'struct rt_buf text;',
        'size_t used;',
        'rt_buf_init(&text, 1 << 20);',
        '(void)%s_random_kinds[data[0] %% %s_random_kind_count].check(data + 1, len - 1, &text, &used);' % (m, m),
        'rt_buf_done(&text);',
        'return 0;'])
    return out.text()


# --- result codes


def errors_header(module):
    out = Out()
    banner(out, module.path, module.about)
    out('#ifndef PANDO_ERRORS_GEN_H\n#define PANDO_ERRORS_GEN_H')
    for c in module.codes:
        put_enum(out, c.name + '_err', c.name.upper() + '_', c)
        out.comment('What a code means and its name, "unknown error" for what is none of them. Never NULL.')
        out('const char *%s_err_text(int v);' % c.name)
        out('const char *%s_err_name(int v);' % c.name)
    out('\n#endif')
    return out.text()


def errors_source(module):
    out = Out()
    banner(out, module.path, [])
    out('#include "schema/errors_gen.h"')
    for c in module.codes:
        zero = [] if any(v.value == 0 for v in c.values) else [('0', 'no error', 'OK')]
        rows = zero + [('%s_%s' % (c.name.upper(), v.name), v.doc, v.name) for v in c.values]
        put_switch(out, 'const char *%s_err_text(int v)' % c.name,
                   [(label, quoted(text)) for label, text, _ in rows], '"unknown error"')
        put_switch(out, 'const char *%s_err_name(int v)' % c.name,
                   [(label, quoted(name)) for label, _, name in rows], '"unknown error"')
    return out.text()


def generate(what, path):
    """The files made, by name."""
    module = Module(path)
    if what == 'errors':
        if module.records or module.enums or module.consts or not module.codes:
            raise Bad('%s: only codes are expected here' % path)
        return {'errors_gen.h': errors_header(module), 'errors_gen.c': errors_source(module)}
    if module.codes:
        raise Bad('%s:%d: codes stand in errors.def' % (path, module.codes[0].line))
    return {module.name + '_gen.h': module_header(module), module.name + '_gen.c': module_source(module),
            module.name + '_gen_random.h': random_header(module),
            module.name + '_gen_random.c': random_source(module)}


def main(argv):
    if len(argv) != 4 or argv[1] not in ('errors', 'module'):
        sys.stderr.write('usage: gen.py errors|module FILE.def OUTDIR\n')
        return 2
    try:
        files = generate(argv[1], argv[2])
    except Bad as e:
        sys.stderr.write('%s\n' % e)
        return 1
    for name, text in files.items():
        with open(os.path.join(argv[3], name), 'w', encoding='utf-8', newline='\n') as f:
            f.write(text)
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv))
