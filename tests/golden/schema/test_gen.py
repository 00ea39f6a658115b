#!/usr/bin/env python3
"""The generator: what it makes of sample.def, and what it says of descriptions that are wrong.

    test_gen.py             compares with sample_gen.*.expected, shows the difference
    test_gen.py --rewrite   accepts what the generator makes now, showing the difference too
"""

import difflib
import os
import re
import sqlite3
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
SCHEMA = os.path.join(HERE, '..', '..', '..', 'schema')
sys.dont_write_bytecode = True
sys.path.insert(0, SCHEMA)
import gen  # noqa: E402

GOLDEN = ('sample_gen.h', 'sample_gen.c')

# What is wrong, the line that must be named, and words of the message.
WRONG = (
    ('record a: doc\n  i32 x: doc\n  i33 y: doc\n', 3, 'unknown type i33'),
    ('record a: doc\n  vector<b> y: doc\n', 2, 'unknown type b'),
    ('record a: doc\n  i32 x\n', 2, '`TYPE NAME: doc` expected'),
    ('record a: doc\n  i32 x:\n', 2, 'no text behind its colon'),
    ('record a: doc\n  i32 X: doc\n', 2, 'lower-case'),
    ('record a: doc\n  i32 int: doc\n', 2, 'a word of C'),
    ('record a: doc\n  i32 x: doc\n  i64 x: doc\n', 3, 'a field x already'),
    ('record a: doc\n  bool has_x: doc\n  optional bool x: doc\n', 3, 'a field x already'),
    ('record a: doc\n', 1, 'no fields'),
    ('record a: doc\n  i32 x: doc\nrecord a: doc\n  i32 x: doc\n', 3, 'defined in line 1'),
    ('record i32: doc\n  i32 x: doc\n', 1, 'the name of a type'),
    ('record a: doc\n  b x: doc\nrecord b: doc\n  a x: doc\n', 4, 'cannot contain itself'),
    ('record a: doc\n  vector<a> x: doc\n', 2, 'cannot contain itself'),
    ('record a: doc\n  vector<vector<i32>> x: doc\n', 2, 'a record around the element'),
    ('record a: doc\n  bytes[0] x: doc\n', 2, 'bytes[N] takes'),
    ('record a: doc\n  optional bool x: doc\n  i32 y: doc\n', 2, 'only a last field'),
    ('record a: doc\n  optional string x: doc\n', 2, 'only a last field'),
    ('record a: doc\n  optional bool x: doc\nrecord b: doc\n  a y: doc\n', 4, 'has an optional field'),
    ('record a: doc\n  optional bool x: doc\nrecord b: doc\n  vector<a> y: doc\n', 4, 'has an optional field'),
    ('record a: doc\n  key i64 x: doc\n', 2, 'in a table'),
    ('table a: doc\n  i64 x: doc\n', 1, 'is its key'),
    ('table a: doc\n  key i32 x: doc\n', 2, 'a key is an i64'),
    ('table a: doc\n  key i64 x: doc\n  vector<i32> y: doc\n', 3, 'no column of this type'),
    ('table a: doc\n  key i64 x: doc\n  i32 crc: doc\n', 3, 'a word of SQL'),
    ('table a: doc\n  key i64 x: doc\n  i32 order: doc\n', 3, 'a word of SQL'),
    ('enum a: doc\n  1 X: doc\n  1 Y: doc\n', 3, 'this value or name in line 2'),
    ('enum a: doc\n  1 X: doc\n  2 X: doc\n', 3, 'this value or name in line 2'),
    ('enum a: doc\n  one X: doc\n', 2, 'one is not a number'),
    ('enum a: doc\n  010 X: doc\n', 2, '010 is not a number'),
    ('enum a: doc\n  2147483648 X: doc\n', 2, 'must fit an int'),
    ('enum a: doc\n  1 x: doc\n', 2, 'upper-case'),
    ('enum a: doc\n', 1, 'no values'),
    ('enum a: doc\n  1 X: doc\nenum a: doc\n  1 X: doc\n', 3, 'defined already'),
    ('const X -1: doc\n', 1, 'without a sign'),
    ('const X 0x10000000000000000: doc\n', 1, 'must fit 64 bits'),
    ('const X 1: doc\nconst X 2: doc\n', 2, 'made twice, also for line 1'),
    ('const A_X 1: doc\nenum a: doc\n  1 X: doc\n', 3, 'made twice, also for line 1'),
    ('const A_BYTES 3: doc\nrecord a: doc\n  i32 x: doc\n', 1, 'a takes 4 bytes'),
    ('record a: doc\n  i32 x: doc\nrecord a_size: doc\n  i32 x: doc\n', 0, None),
    ('  i32 x: doc\n', 1, 'an indented line must follow'),
    ('const X 1: doc\n  i32 x: doc\n', 2, 'an indented line must follow'),
    ('recrod a: doc\n', 1, '`record NAME: doc`'),
    ('record a: a */ inside\n', 1, 'comment marks'),
    ('codes zk: doc\n  0 OK: doc\n', 1, 'codes stand in errors.def'),
    ('record a: doc\n  vector<b> x: doc\nrecord b: doc\n  vector<c> x: doc\nrecord c: doc\n'
     '  vector<d> x: doc\nrecord d: doc\n  vector<string> x: doc\n', 1, 'too large for random values'),
)


def made():
    return gen.generate('module', os.path.join(HERE, 'sample.def'))


def difference(name, text):
    path = os.path.join(HERE, name + '.expected')
    try:
        with open(path, encoding='utf-8') as f:
            expected = f.read()
    except FileNotFoundError:
        expected = ''
    return ''.join(difflib.unified_diff(expected.splitlines(True), text.splitlines(True),
                                        name + '.expected', name + ' as made now'))


def sql_of(header):
    """The texts of all ..._SQL macros."""
    for m in re.finditer(r'#define (\w+)_SQL \\\n((?:\t".*" \\\n)*\t".*"\n)', header):
        yield m[1], ''.join(re.findall(r'"(.*)"', m[2]))


class Generator(unittest.TestCase):
    maxDiff = None

    def test_sample(self):
        files = made()
        for name in GOLDEN:
            changes = difference(name, files[name])
            if changes:
                self.fail('the generator\'s output has changed; if that is meant, run %s --rewrite\n%s'
                          % (os.path.basename(__file__), changes))

    def test_lines_are_short(self):
        for name, text in made().items():
            for number, line in enumerate(text.split('\n'), 1):
                self.assertLessEqual(len(line.expandtabs(8)), 120, '%s:%d' % (name, number))

    def test_wrong_descriptions(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 'wrong.def')
            for text, line, words in WRONG:
                with self.subTest(text=text):
                    with open(path, 'w', encoding='utf-8') as f:
                        f.write(text)
                    if words is None:
                        gen.generate('module', path)
                        continue
                    with self.assertRaises(gen.Bad) as caught:
                        gen.generate('module', path)
                    self.assertTrue(str(caught.exception).startswith('%s:%d: ' % (path, line)),
                                    str(caught.exception))
                    self.assertIn(words, str(caught.exception))

    def test_no_such_file(self):
        with self.assertRaisesRegex(gen.Bad, 'nowhere.def'):
            gen.generate('module', '/nowhere/nowhere.def')

    def test_sqlite_takes_the_tables(self):
        for name in os.path.join(HERE, 'sample.def'), os.path.join(SCHEMA, 'disk.def'):
            files = gen.generate('module', name)
            header = next(text for file, text in files.items() if file.endswith('_gen.h'))
            tables = dict(sql_of(header))
            self.assertEqual(len(tables), header.count('_SQL '))
            self.assertTrue(tables)
            db = sqlite3.connect(':memory:')
            for macro, sql in tables.items():
                with self.subTest(table=macro):
                    db.execute(sql)
                    table = re.match(r'CREATE TABLE (\w+)', sql)[1]
                    columns = re.search(r'#define %s_COLUMNS \\\n((?:\t".*" \\\n)*\t".*"\n)' % macro, header)
                    columns = ''.join(re.findall(r'"(.*)"', columns[1])).split(', ')
                    found = [row[1] for row in db.execute('PRAGMA table_info(%s)' % table)]
                    self.assertEqual(found, columns)
                    self.assertEqual(found[-1], 'crc')
            db.close()


def rewrite():
    for name, text in made().items():
        if name not in GOLDEN:
            continue
        sys.stdout.write(difference(name, text))
        with open(os.path.join(HERE, name + '.expected'), 'w', encoding='utf-8') as f:
            f.write(text)


if __name__ == '__main__':
    if sys.argv[1:] == ['--rewrite']:
        rewrite()
    else:
        unittest.main()
