import t from 'tap';
import { parseRcFile } from '../src/rc-file.ts';
import { readRegion } from '../src/region.ts';

function sshPort(...lines: readonly string[]): number {
  const text = ['[x]', 'SPA_SERVER bastion.example.org', ...lines, ''].join('\n');
  return readRegion(parseRcFile('rc', text), 'x').bastions[0].sshPort;
}

t.test('ssh goes to the first tcp port, or to the one that leads inside', async (t) => {
  t.equal(sshPort(), 22);
  t.equal(sshPort('ACCESS udp/53,tcp/2200,tcp/22'), 2200);
  t.equal(sshPort('NAT_ACCESS 10.0.0.5:22', 'NAT_PORT 2222'), 2222);
});

t.test('a region whose port nobody can know is refused', async (t) => {
  t.throws(() => sshPort('NAT_ACCESS 10.0.0.5:22', 'NAT_RAND_PORT Y'), {
    name: 'ConfigError',
    message: 'rc: [x] has a port that nobody can know; write NAT_PORT, not NAT_RAND_PORT',
  });
  t.throws(() => sshPort('ACCESS udp/53'), { message: /has no tcp port in ACCESS/ });
});
