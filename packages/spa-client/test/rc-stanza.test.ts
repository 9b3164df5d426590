import fc from 'fast-check';
import t from 'tap';
import { parseRcFile } from '../src/rc-file.ts';
import { type RcLine, replaceStanza } from '../src/rc-stanza.ts';

const LINES: readonly RcLine[] = [
  { keyword: 'ACCESS', value: 'tcp/22' },
  { keyword: 'SPA_SERVER', value: 'bastion.example.org' },
];
const WRITTEN = 'ACCESS                      tcp/22\nSPA_SERVER                  bastion.example.org\n';

t.test('a stanza that is not there goes to the end, after an empty line', async (t) => {
  t.equal(replaceStanza('', 'new', LINES), `[new]\n${WRITTEN}`);
  t.equal(replaceStanza('[a]\nKEY k', 'new', LINES), `[a]\nKEY k\n\n[new]\n${WRITTEN}`);
  t.equal(replaceStanza('[a]\nKEY k\n', 'new', LINES), `[a]\nKEY k\n\n[new]\n${WRITTEN}`);
  t.equal(replaceStanza('[a]\nKEY k\n\n', 'new', LINES), `[a]\nKEY k\n\n[new]\n${WRITTEN}`);
});

t.test('of a stanza that is there the settings go, and what stands before the next one stays', async (t) => {
  const before = '# mine\n\n[default]\n#DIGEST_TYPE sha256\n';
  const after = '\n# the one in Paris\n[ paris ] # best\n# its key\n  KEY\tk;x\n';
  const text = `${before}[Old] ; long ago\n# was here\nKEY secret\nFROB 1\n${after}`;
  t.equal(replaceStanza(text, 'OLD', LINES), `${before}[Old] ; long ago\n${WRITTEN}${after}`);
});

t.test('a stanza that comes twice is one afterwards', async (t) => {
  const text = '[a]\nKEY 1\n[b]\nKEY 2\n[A]\nKEY 3\n# end\n';
  t.equal(replaceStanza(text, 'a', LINES), `[a]\n${WRITTEN}[b]\nKEY 2\n# end\n`);
});

t.test('the ends of lines and the byte order mark are those of the file', async (t) => {
  const text = '\ufeff[a]\r\nKEY 1\r\n';
  t.equal(replaceStanza(text, 'a', LINES), `\ufeff[a]\r\n${WRITTEN.replaceAll('\n', '\r\n')}`);
});

t.test('a key with a blank is written in base64, and other values with one are refused', async (t) => {
  t.match(replaceStanza('', 'a', [{ keyword: 'KEY', value: 'a # b' }]), /\nKEY_BASE64 +YSAjIGI=\n$/);
  t.match(replaceStanza('', 'a', [{ keyword: 'HMAC_KEY', value: 'x;y' }]), /\nHMAC_KEY_BASE64 +eDt5\n$/);
  t.throws(() => replaceStanza('', 'a', [{ keyword: 'HTTP_USER_AGENT', value: 'a b' }]), {
    name: 'ValueError',
    message: '"a b" cannot stand in an rc file, where a value ends at a blank, ; or #',
  });
});

t.test('whatever the file, the stanza says the lines afterwards and all others what they said', async (t) => {
  const row = fc.oneof(
    fc.constantFrom(
      '[a]',
      '[B]',
      '[ b ] # x',
      '[c]',
      '# note',
      '; note',
      '',
      '  ',
      'KEY k',
      '\tACCESS: tcp/1;',
    ),
  );
  const file = fc.tuple(fc.array(row, { maxLength: 12 }), fc.constantFrom('\n', '\r\n'), fc.boolean());
  fc.assert(
    fc.property(file, ([rows, ending, isEnded]) => {
      const text = `[first]${ending}${rows.join(ending)}${isEnded ? ending : ''}`;
      const stanzasOf = (source: string): ReadonlyMap<string, string> =>
        new Map(
          parseRcFile('rc', source).stanzas.map(({ name, lines }) => [
            name.toLowerCase(),
            lines.map(({ keyword, value }) => `${keyword} ${value}`).join(),
          ]),
        );
      const before = stanzasOf(text);
      const replaced = replaceStanza(text, 'b', LINES);
      t.same(
        stanzasOf(replaced),
        new Map([...before, ['b', 'ACCESS tcp/22,SPA_SERVER bastion.example.org']]),
      );
      t.equal(replaceStanza(replaced, 'b', LINES), replaced, 'twice is as once');
    }),
  );
});
