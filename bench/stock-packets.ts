import { execFile } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { promisify } from 'node:util';
import type { Scratch } from 'spa-lab';
import type { Mode } from './modes.ts';

/** As many clients run at a time: each waits for gpg most of its own. */
const AT_ONCE = 4;
/** What it writes to a file it sends too; `--test` wants the bastion's secret key. */
const NOWHERE = ['-D', '127.0.0.1', '-p', '9'];
let made = 0;

/** Packets of the stock client that ask for tcp/22, one for each of `wanted`; in gpg's format they are compressed. */
export async function makeStockPackets(
  mode: Mode,
  scratch: Scratch,
  wanted: readonly string[],
): Promise<readonly string[]> {
  const keys = mode.clientKeys.find(({ where }) => where !== 'key files');
  if (keys === undefined) throw new TypeError(`${mode.name}: fwknop cannot have its keys`);
  const number = made++;
  const rcFile = scratch.path(`stock-${number}.rc`);
  writeFileSync(rcFile, `${['[default]', ...keys.lines].join('\n')}\n`, { mode: 0o600 });
  const packets: string[] = [];
  const makeSome = async (lane: number): Promise<void> => {
    const file = scratch.path(`stock-${number}-${lane}`);
    for (let index = lane; index < wanted.length; index += AT_ONCE) {
      const request = ['-A', 'tcp/22', '-a', wanted[index] ?? '', ...NOWHERE];
      const toFile = ['--save-packet', file, '--no-save-args'];
      await run('fwknop', ['--rc-file', rcFile, ...request, ...toFile]);
      packets[index] = readFileSync(file, 'utf8').trim();
      rmSync(file);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, (_, lane) => makeSome(lane)));
  return packets;
}

const run = promisify(execFile);
