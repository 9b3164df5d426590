import t from 'tap';
import { parseAsSsh, parseSshbhCommand } from '../src/cli/sshbh-options.ts';

const words = (line: string): readonly string[] => line.split(' ').filter((word) => word !== '');

t.test('one word after the region is a host behind it, and a command stands after --', async (t) => {
  t.match(parseSshbhCommand(words('us-east-1')), {
    region: { name: 'us-east-1', user: null },
    host: null,
    command: [],
  });
  t.match(parseSshbhCommand(words('alice@us-east-1 root@db-3 -- df -h /')), {
    region: { name: 'us-east-1', user: 'alice' },
    host: { name: 'db-3', user: 'root' },
    command: ['--', 'df', '-h', '/'],
  });
  t.match(parseSshbhCommand(words('us-east-1 fd00::5')), { host: { name: 'fd00::5' } });
});

t.test("ssh's options may stand anywhere, and keep their order", async (t) => {
  const { sshOptions, host, orders } = parseSshbhCommand(
    words('-A --wait 5 -l bob us-east-1 -L 8080:web:80 10.0.1.5 -oBatchMode=yes -- -v'),
  );
  t.same(sshOptions, words('-A -l bob -L 8080:web:80 -oBatchMode=yes'));
  t.equal(host?.name, '10.0.1.5');
  t.equal(orders.wait, '5');
});

t.test('a command without -- is refused, with what to write', async (t) => {
  const advice = /a command stands after --/;
  t.throws(() => parseSshbhCommand(words('us-east-1 systemctl status')), { message: advice });
  t.throws(() => parseSshbhCommand(['us-east-1', "git-upload-pack 'x.git'"]), { message: /sshbh ssh/ });
});

t.test('as ssh, all that stands after the region is for ssh', async (t) => {
  const rsync = words('--rc-file f -l alice -4 us-east-1 rsync --server -vlogDtpre.iLsfxC . src/');
  t.match(parseAsSsh(rsync), {
    orders: { 'rc-file': 'f' },
    region: { name: 'us-east-1', user: null },
    host: null,
    sshOptions: ['-l', 'alice', '-4'],
    command: words('rsync --server -vlogDtpre.iLsfxC . src/'),
  });
  t.match(parseAsSsh(words('-v -s -- us-east-1 sftp')), { sshOptions: ['-v', '-s'], command: ['sftp'] });
});
