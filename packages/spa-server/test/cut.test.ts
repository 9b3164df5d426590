import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseIpNetwork } from 'spa-core';
import { lacking } from 'spa-lab';
import t from 'tap';
import { findProgram } from '../src/firewall/programs.ts';
import { cutConnections } from '../src/grants/cut.ts';
import { portsOf } from './gate.ts';

t.test(
  'without conntrack it is said what may live on, and what to do',
  { skip: lacking('ss') },
  async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'cut-'));
    t.teardown(() => rmSync(folder, { recursive: true, force: true }));
    const ss = findProgram('ss');
    if (ss !== null) symlinkSync(ss, join(folder, 'ss'));
    const from = parseIpNetwork('203.0.113.7');
    if (from === null) throw new TypeError('network');
    const connections = portsOf('tcp/22,udp/53').map((port) => ({ from, port }));
    t.match(await cutConnections(connections, [folder]), {
      connections: 0,
      problem: /^conntrack is not installed, so .* may live on; install .* address=IP$/,
    });
  },
);
